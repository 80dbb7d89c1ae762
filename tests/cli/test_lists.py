"""``hetcomp models`` and ``hetcomp store``."""

from __future__ import annotations

import shutil

import torch

from recbole_hetcomp import cli
from recbole_hetcomp.trajectories import Trajectory, TrajectoryStore


def test_models_lists_what_may_teach(capsys):
    assert cli.main(["models"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line.strip())
    assert lines["CML"] == "plugin, may teach, may be taught"
    assert lines["LightGCN"] == "may teach, may be taught"
    assert lines["EASE"] == "may teach"
    assert lines["HetComp"] == "plugin, is a way to teach: --model"
    assert lines["Random"] == "learns nothing"
    assert {"BPR", "NeuMF", "MultiVAE", "ItemVAE", "EASE", "ItemKNN"} <= set(lines)


def test_store_lists_entries_and_finds_the_damaged_one(finished_run, capsys, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(finished_run.settings["store_dir"], store)
    assert cli.main(["store", f"--store_dir={store}"]) == 0
    page = capsys.readouterr().out
    for name in ("BPR", "EASE", "NoKD"):
        assert f"/{name}-" in page
    assert page.count("ok ") == len(page.splitlines())
    file = min(store.glob("*/EASE-*/trajectory.safetensors"))  # the store is shared: there may be more
    file.write_bytes(file.read_bytes()[:-1])
    assert cli.main(["store", f"--store_dir={store}"]) == 1
    damaged = [line for line in capsys.readouterr().out.splitlines() if line.startswith("DAMAGED")]
    assert len(damaged) == 1
    assert "EASE" in damaged[0]


def test_an_empty_store_is_no_error(capsys, tmp_path):
    assert cli.main(["store", f"--store_dir={tmp_path / 'none'}"]) == 0


def test_words_that_are_no_options_are_refused(capsys):
    assert cli.main(["models", "BPR"]) == 2
    assert "'BPR' is not understood; hetcomp models --help lists all arguments" in capsys.readouterr().err


def test_the_store_finds_all_that_is_damaged_and_repairs_it(tmp_path, capsys):
    store = TrajectoryStore(tmp_path / "store")
    lists = torch.zeros(2, 3, 4, dtype=torch.int16)
    made = {
        name: store.write("data", name, {}, Trajectory(lists, lists[:, 0], (0, 1), (0.1, 0.2)))
        for name in ("sound", "infinite", "cut", "headless", "flipped")
    }
    manifest = made["infinite"] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"bytes": ', '"bytes": Infinity, "more": '))
    tensors = made["cut"] / "trajectory.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1])
    (made["headless"] / "manifest.json").unlink()
    tensors = made["flipped"] / "trajectory.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x01")
    (made["sound"].parent / "gone-1").symlink_to(tmp_path / "nowhere")
    words = ["store", f"--store_dir={tmp_path / 'store'}"]
    assert cli.main(words) == 1
    said = capsys.readouterr().out
    assert said.count("DAMAGED") == 5
    assert "5 to repair: hetcomp store --repair" in said
    assert cli.main([*words, "--repair"]) == 0
    capsys.readouterr()
    assert cli.main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"ok       {made['sound']}: 2 snapshots x 3 users x 4 items, epochs (0, 1)"
    ]


def test_an_empty_store_says_so(tmp_path, capsys):
    assert cli.main(["store", f"--store_dir={tmp_path}"]) == 0
    assert "holds no teachers yet" in capsys.readouterr().out
