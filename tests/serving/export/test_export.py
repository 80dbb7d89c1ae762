"""An export of a real student: what is in it, that it ranks as the student, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import recbole_hetcomp
from recbole_hetcomp import cli
from recbole_hetcomp.files import DamagedFileError, write_json
from recbole_hetcomp.serving.exported import MANIFEST, ONNX, VECTORS, read

pytest.importorskip("faiss")
pytest.importorskip("onnxruntime")
K = 20


@pytest.fixture(scope="module")
def folder(finished_run, tmp_path_factory):
    target = tmp_path_factory.mktemp("export") / "student"
    words = ["export", "--checkpoint", str(finished_run.checkpoint), "--to", str(target), "--k", str(K)]
    words += ["--index", "ivf", "--index", "hnsw", "--precision", "float16", "--precision", "int8"]
    assert cli.main([*words, "--ensemble", "30", "--licence", "mit"]) == 0
    return target


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_every_exact_file_ranks_as_the_student_for_all_users(folder):
    told = json.loads((folder / MANIFEST).read_text())["parity"]
    assert told["k"] == K
    exact = {VECTORS, "users.parquet, items.parquet", ONNX, "items.faiss"}
    rough = {"items-ivf.faiss", "items-hnsw.faiss", "vectors-float16.safetensors", "vectors-int8.safetensors"}
    assert set(told["artefacts"]) == exact | rough
    for name, one in told["artefacts"].items():
        assert one["users"] == 943
        assert one["different"] == 0 or name in rough
        assert one["recall"] > (0.8 if name in rough else 0.999)


def test_recommend_takes_an_export_in_place_of_its_checkpoint(folder, finished_run):
    ours, theirs = (recbole_hetcomp.load(place) for place in (folder, finished_run.checkpoint))
    assert ours.users == theirs.users
    asked = [*theirs.users, "nobody"]
    found, expected = (one.recommend(asked, K, deny=["50"]) for one in (ours, theirs))
    assert (found.items == expected.items).all(axis=1).mean() > 0.99  # ties aside
    assert np.allclose(found.scores, expected.scores, atol=1e-4)
    assert found.fallback.tolist() == [False] * 943 + [True]
    assert found.items[-1].tolist() == expected.items[-1].tolist()
    with pytest.raises(ValueError, match="was exported with seen=all: seen='training' needs an export of its own"):
        recbole_hetcomp.load(folder, seen="training")


def test_what_is_read_back_ranks_as_recommend_does_by_external_ids(folder, finished_run):
    student = read(folder)
    found = recbole_hetcomp.load(finished_run.checkpoint).recommend(student.user_ids, K)
    assert found.users.tolist() == student.user_ids.tolist()
    scores = student.users @ student.items.T
    for row in range(len(student.user_ids)):
        scores[row, student.seen_items[student.seen_offsets[row] : student.seen_offsets[row + 1]]] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    same = (student.item_ids[best] == found.items).all(axis=1)
    assert same.mean() > 0.99  # ties aside
    assert np.allclose(np.take_along_axis(scores, best, 1), found.scores, atol=1e-4)


def test_its_metrics_are_the_runs_own(folder, finished_run):
    told = read(folder).manifest["metrics"]
    assert told["test"] == pytest.approx(dict(finished_run.returned["test_result"]), abs=1e-9)
    assert told["valid"] == pytest.approx(dict(finished_run.returned["best_valid_result"]), abs=1e-9)


def test_titles_and_the_ensemble_stand_beside(folder):
    student = read(folder)
    titles = dict(zip(student.item_ids, student.titles))
    assert titles["1"] == "Toy Story"
    assert student.ensemble.shape == (943, 30)
    seen = student.seen_items[student.seen_offsets[4] : student.seen_offsets[5]]
    listed = student.ensemble[4][student.ensemble[4] >= 0]
    assert len(listed)
    assert not np.intersect1d(seen, listed).size


def test_tables_have_the_vectors_by_external_id(folder):
    student = read(folder)
    items = pd.read_parquet(folder / "items.parquet")
    assert items["item"].tolist() == student.item_ids.tolist()
    assert "[PAD]" not in set(items["item"])
    assert np.array_equal(np.stack(items["vector"]), student.items)
    assert items["interactions"].sum() == student.manifest["data"]["interactions"]


def test_the_card_says_what_it_is(folder):
    card = (folder / "README.md").read_text()
    told = json.loads((folder / MANIFEST).read_text())
    assert card.startswith("---\nlicense: mit\n")
    assert f"{told['metrics']['test']['recall@50']:.4f}" in card
    assert "BPR, EASE" in card
    assert "| int8 |" in card


def test_an_earlier_export_is_replaced_and_other_files_are_not(finished_run, copy, tmp_path, capsys):
    words = ["export", "--checkpoint", str(finished_run.checkpoint), "--k", "5", "--to"]
    assert cli.main([*words, str(copy)]) == 0
    assert "ensemble.safetensors" not in {file.name for file in copy.iterdir()}
    assert read(copy).manifest["parity"]["k"] == 5
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert cli.main([*words, str(tmp_path / "mine")]) == 2
    assert "no export" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy", "mine"]


def test_nothing_but_an_export_is_replaced(finished_run, copy, tmp_path, capsys, monkeypatch):
    words = ["export", "--checkpoint", str(finished_run.checkpoint), "--k", "5", "--to"]
    entry = tmp_path / "entry"  # as one of the store
    entry.mkdir()
    write_json(entry / "manifest.json", {"format_version": 1})
    (copy / "notes.txt").write_text("mine")
    for target, found in ((entry, "manifest.json"), (copy, "notes.txt")):
        before = {file.name: file.read_bytes() for file in target.iterdir()}
        assert cli.main([*words, str(target)]) == 2
        assert f"holds files that are no export, {found} first" in capsys.readouterr().err
        assert {file.name: file.read_bytes() for file in target.iterdir()} == before
    (copy / "notes.txt").unlink()
    monkeypatch.chdir(copy)
    for target in (".", ".."):
        assert cli.main([*words, target]) == 2
        assert "is the folder that the command runs in" in capsys.readouterr().err
    assert read(copy).manifest["parity"]["k"] != 5


def test_of_a_link_what_it_leads_to_is_replaced(finished_run, copy, tmp_path, capsys):
    words = ["export", "--checkpoint", str(finished_run.checkpoint), "--k", "5", "--to"]
    (tmp_path / "link").symlink_to("copy")
    (tmp_path / "lost").symlink_to("nowhere")
    assert cli.main([*words, str(tmp_path / "link")]) == 0
    assert os.readlink(tmp_path / "link") == "copy"
    assert read(copy).manifest["parity"]["k"] == 5
    capsys.readouterr()
    assert cli.main([*words, str(tmp_path / "lost")]) == 2
    assert "lost is a link to nowhere, which does not exist" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy", "link", "lost"]


def test_a_full_disk_is_said_in_a_line_and_leaves_the_export_before(finished_run, copy, tmp_path, capsys):
    resource = pytest.importorskip("resource")
    before, limits = (copy / MANIFEST).read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    words = ["export", "--checkpoint", str(finished_run.checkpoint), "--to", str(copy)]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        status = cli.main(words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 1
    assert f"error: {copy} cannot be written: " in capsys.readouterr().err
    assert (copy / MANIFEST).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["copy"]


def altered(folder: Path) -> None:
    file = folder / VECTORS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def of_another_schema(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())
    told.pop("sha256")
    write_json(folder / MANIFEST, {**told, "schema": 99})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (altered, "vectors.safetensors is not as it was exported"),
        (lambda folder: (folder / "seen.safetensors").unlink(), "seen.safetensors is missing"),
        (lambda folder: (folder / MANIFEST).unlink(), "has no manifest.json"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "is damaged"),
        (lambda folder: (folder / MANIFEST).write_text('{"schema": 1}'), "does not name"),
        (of_another_schema, "has schema 99"),
        (lambda folder: (folder / "items.parquet").write_bytes(b""), "items.parquet is not as it was exported"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(copy, damage, said):
    damage(copy)
    with pytest.raises(DamagedFileError, match=said):
        read(copy)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--k", "0"], "k=0"),
        (["--index", "flat"], "flat"),
        (["--precision", "int4"], "int4"),
        (["--ensemble", "-1"], "ensemble=-1"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_read(finished_run, tmp_path, capsys, words, said):
    call = ["export", "--checkpoint", str(finished_run.checkpoint), "--to", str(tmp_path / "out")]
    assert cli.main([*call, *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_feature_that_is_not_there_is_refused_and_leaves_nothing(finished_run, tmp_path, capsys):
    call = ["export", "--checkpoint", str(finished_run.checkpoint), "--to", str(tmp_path / "out")]
    assert cli.main([*call, "--title", "colour"]) == 1
    assert "title='colour' is not allowed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_student_whose_numbers_are_broken_is_not_exported(finished_run, tmp_path, capsys):
    content = torch.load(finished_run.checkpoint, weights_only=True)
    name = next(name for name in content["state_dict"] if "user" in name)
    content["state_dict"][name][3] = float("nan")
    torch.save(content, tmp_path / "broken.pth")
    assert cli.main(["export", "--checkpoint", str(tmp_path / "broken.pth"), "--to", str(tmp_path / "out")]) == 1
    assert "vectors of 1 users hold NaN" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_kind_is_refused_with_what_serves_it(tiny_run, tmp_path, capsys):
    run = tiny_run(model="TeacherEnsemble")
    assert cli.main(["export", "--checkpoint", str(run.checkpoint), "--to", str(tmp_path / "out")]) == 1
    assert "hetcomp recommend serves any model" in capsys.readouterr().err
