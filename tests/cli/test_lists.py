"""``hetcomp models`` and ``hetcomp store``."""

from __future__ import annotations

import shutil

from recbole_hetcomp import cli


def test_models_lists_what_may_teach(capsys):
    assert cli.main(["models"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line.strip())
    assert lines["CML"] == "plugin, may teach"
    assert lines["LightGCN"] == "may teach"
    assert lines["HetComp"] == "plugin"
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
