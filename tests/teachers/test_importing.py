"""Teachers that were made elsewhere: imported, found by name, the same lists again; the store as before or complete."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from recbole_hetcomp import cli
from recbole_hetcomp.teachers.importing import TargetData
from recbole_hetcomp.trajectories import TrajectoryStore
from recbole_hetcomp.trajectories.imported import imported_names, read_imported


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    store = tmp_path_factory.mktemp("target") / "store"
    return TargetData.load("ml-100k", settings={"store_dir": str(store)})


@pytest.fixture(scope="module")
def table(target, tmp_path_factory) -> Path:
    """Every user's 120 best items by a made-up score, training items among them."""
    generator = np.random.default_rng(0)
    users, items = target.users.tokens.to_pylist(), target.items.tokens.to_pylist()
    best = np.argsort(generator.random((len(users), len(items))), axis=1)[:, :120]
    frame = pd.DataFrame({
        "user": np.repeat(users, 120),
        "item": np.asarray(items, dtype=object)[best.ravel()],
        "rank": np.tile(np.arange(1, 121), len(users)),
    })  # fmt: skip
    file = tmp_path_factory.mktemp("table") / "table.parquet"
    frame.sample(frac=1.0, random_state=1).to_parquet(file, index=False)
    return file


def entry(store: Path, name: str):
    (folder,) = store.glob(f"*/{name}-????????????????")
    return TrajectoryStore(store).open(folder)


def test_export_and_import_give_the_same_teacher_and_ensemble(tmp_path, tiny_run):
    """Of a teacher with several snapshots, and of one without."""
    store, old = tmp_path / "store", tmp_path / "old"
    known = tiny_run(model="TeacherEnsemble", store_dir=str(old))
    for name in ("BPR", "EASE"):
        file = tmp_path / f"{name}.parquet"
        words = ["export-rankings", "--source", f"{name}-", "--output", str(file), f"--store_dir={old}"]
        assert cli.main(words) == 0
        words = ["import-teacher", "--name", f"{name}.v1", "--table", str(file), f"--store_dir={store}"]
        assert cli.main(words) == 0
    names = ["import:BPR.v1", "import:EASE.v1"]
    made = tiny_run(model="TeacherEnsemble", store_dir=str(store), teachers=names, teacher_config={})
    for name in ("BPR", "EASE"):
        first, again = entry(old, name), entry(store, f"import-{name}.v1")
        assert (again.epochs, again.scores) == (first.epochs, first.scores)
        for part in ("unobserved", "observed_ranks", "served"):
            assert torch.equal(getattr(again, part), getattr(first, part)), (name, part)
    assert known.returned["test_result"] == made.returned["test_result"]


def test_a_run_learns_from_an_imported_teacher_beside_others(table, tmp_path, tiny_run):
    store = tmp_path / "store"
    assert cli.main(["import-teacher", "--name", "llm", "--table", str(table), f"--store_dir={store}"]) == 0
    run = tiny_run(store_dir=str(store), teachers=["EASE", "import:llm"], teacher_config={}, compare_no_kd=False)
    assert any("import:llm" in line for line in run.log)
    again = tiny_run(store_dir=str(store), teachers=["EASE", "import:llm"], teacher_config={}, compare_no_kd=False)
    assert any("import:llm: taken from the store" in line for line in again.log)
    frame = pd.read_parquet(table)
    frame["rank"] = 121 - frame["rank"]
    frame.to_parquet(tmp_path / "other.parquet")
    words = ["import-teacher", "--name", "llm", "--table", str(tmp_path / "other.parquet"), f"--store_dir={store}"]
    before = read_imported(store, "llm").content
    assert cli.main(words) == 1  # another ranking of this name
    assert read_imported(store, "llm").content == before
    assert cli.main([*words, "--replace"]) == 0
    anew = tiny_run(store_dir=str(store), teachers=["EASE", "import:llm"], teacher_config={}, compare_no_kd=False)
    assert not any("import:llm: taken from the store" in line for line in anew.log)
    assert len(list(store.glob("*/import-llm-*"))) == 2


def boosted_trees(target: TargetData) -> pd.DataFrame:
    """Each user's 250 best items by LightGBM's ranker over popularity and activity; trained on the training split."""
    lightgbm = pytest.importorskip("lightgbm")
    data, draws = target.data, np.random.default_rng(0)
    popular, active = data.item_counts.numpy().astype(float), data.observed.lengths().numpy().astype(float)
    users = np.repeat(np.arange(data.n_users), active.astype(int))
    liked = data.observed.values.numpy().astype(int)
    taste = np.bincount(users, np.log1p(popular[liked]), data.n_users) / np.maximum(active, 1)

    def features(user: Any, item: Any) -> Any:
        return np.stack([popular[item], active[user], taste[user], np.log1p(popular[item]) - taste[user]], -1)

    drawn = draws.integers(1, data.n_items, 3 * len(liked))
    rows = np.concatenate([features(users, liked), features(np.repeat(users, 3), drawn)])
    owner = np.concatenate([users, np.repeat(users, 3)])
    order = np.argsort(owner, kind="stable")
    ranker = lightgbm.LGBMRanker(n_estimators=20, num_leaves=15, num_threads=1, verbose=-1)
    ranker.fit(rows[order], (np.arange(len(rows)) < len(liked))[order], group=np.bincount(owner)[1:])
    everyone, items = np.arange(1, data.n_users), np.arange(1, data.n_items)
    scores = ranker.predict(features(np.repeat(everyone, len(items)), np.tile(items, len(everyone))))
    best = np.argsort(-scores.reshape(len(everyone), -1), axis=1, kind="stable")[:, :250]
    names = [np.asarray(ids.tokens.to_pylist(), dtype=object) for ids in (target.users, target.items)]
    return pd.DataFrame({
        "user": np.repeat(names[0], 250),
        "item": names[1][best.ravel()],
        "score": np.take_along_axis(scores.reshape(len(everyone), -1), best, 1).ravel(),
    })  # fmt: skip


def test_boosted_trees_teach_by_a_table(target, tmp_path, tiny_run):
    store, file = tmp_path / "store", tmp_path / "trees.csv"
    boosted_trees(target).to_csv(file, index=False)
    assert cli.main(["import-teacher", "--name", "trees", "--table", str(file), f"--store_dir={store}"]) == 0
    run = tiny_run(store_dir=str(store), teachers=["BPR", "import:trees"], compare_no_kd=False)
    assert run.rows["import:trees"]["recall@50"] > 0.2  # lists by chance have .03
    assert run.rows["HetComp"]["recall@50"] > 0.2


def test_what_runs_refuse(table, tmp_path, capsys):
    store = tmp_path / "store"
    words = ["run", f"--store_dir={store}", "--teachers=[import:llm]"]
    assert cli.main(words) == 2
    assert "teacher 'import:llm' is not in the store" in capsys.readouterr().err
    assert cli.main(["import-teacher", "--name", "llm", "--table", str(table), f"--store_dir={store}"]) == 0
    assert cli.main(["run", f"--store_dir={store}", "--teachers=[import:lm]"]) == 2
    assert "did you mean 'import:llm'" in capsys.readouterr().err
    assert cli.main([*words, "--teacher_config={import:llm: {epochs: 3}}"]) == 2
    assert "names 'epochs': an imported teacher has no settings" in capsys.readouterr().err
    assert cli.main([*words, "--seed=7"]) == 1
    assert "was imported for another split of data set 'ml-100k'" in capsys.readouterr().err
    assert cli.main([*words, "--user_inter_num_interval=[30,inf)"]) == 1
    assert "was imported for the users and items of data set 'ml-100k' as they were then" in capsys.readouterr().err
    lists = store / "imported" / "llm" / "lists-0.int32"
    lists.write_bytes(lists.read_bytes()[:-4])
    assert cli.main(words) == 1
    assert "lists-0.int32: truncated or altered" in capsys.readouterr().err


def test_any_split(table, tmp_path, tiny_run):
    store = tmp_path / "store"
    words = ["import-teacher", "--name", "llm", "--table", str(table), f"--store_dir={store}", "--any_split"]
    assert cli.main(words) == 0
    tiny_run(model="TeacherEnsemble", store_dir=str(store), teachers=["import:llm"], teacher_config={}, seed=7)


def test_a_refused_import_leaves_the_store_as_it_was(table, tmp_path, capsys):
    store = tmp_path / "store"
    frame = pd.read_parquet(table)
    frame.loc[frame.index[::3], "item"] = "none"
    frame.to_parquet(tmp_path / "bad.parquet")
    words = ["import-teacher", "--name", "llm", "--table", str(tmp_path / "bad.parquet"), f"--store_dir={store}"]
    assert cli.main(words) == 1
    said = capsys.readouterr().err
    assert "name items that the data set does not have: left out (such as 'none'); at most 5% are allowed" in said
    assert imported_names(store) == []
    assert [path for path in store.rglob("*") if path.is_file()] == []
    assert cli.main([*words, "--allow", "unknown_item=0.4,short=1"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give one source, --table, --vectors, --checkpoint, --function, not 0"),
        (["--table", "a.csv", "--function", "m.f"], "not 2"),
        (["--table", "a.csv", "--ids", "u", "i"], "--ids belongs to --vectors"),
        (["--table", "a.csv", "--allow", "ties=1"], "allow names 'ties'"),
        (["--table", "a.csv", "--allow", "tie"], "--allow 'tie' is not understood"),
        (["--table", "a.csv", "--length", "20"], "length=20 is not allowed: at least K_prime=100"),
    ],
)
def test_wrong_calls(words, message, capsys):
    assert cli.main(["import-teacher", "--name", "llm", *words]) == 2
    assert message in capsys.readouterr().err
    assert cli.main(["import-teacher", "--name", "a/b", "--table", "a.csv"]) == 2
    assert "name='a/b' is not allowed" in capsys.readouterr().err


def factors(target):
    """Vectors of users and items whose products are exact in float32, in whichever order they are summed."""
    generator = np.random.default_rng(3)
    sizes = target.data.n_users - 1, target.data.n_items - 1
    return [(generator.standard_normal((n, 6)) * 128).round().astype(np.float32) / 128 for n in sizes]


def test_vectors_and_a_function_give_the_same_lists(target, tmp_path, monkeypatch):
    users, items = factors(target)
    order = np.random.default_rng(4).permutation(len(items))
    np.save(tmp_path / "users.npy", users)
    (tmp_path / "users.txt").write_text("\n".join(target.users.tokens.to_pylist()))
    shuffled = np.asarray(target.items.tokens.to_pylist())[order]
    save_file({"vectors": items[order]}, tmp_path / "items.safetensors")
    np.save(tmp_path / "items-ids.npy", shuffled)
    np.savez(tmp_path / "items.npz", vectors=items[order], ids=shuffled)
    ids = {name: place for place, name in enumerate(target.users.tokens.to_pylist())}

    def score(wanted):
        return users[[ids[user] for user in wanted]] @ items[order].T

    score.items = shuffled.tolist()
    module = ModuleType("ranker_of_a_test")
    module.score = score
    monkeypatch.setitem(sys.modules, "ranker_of_a_test", module)
    store = f"--store_dir={tmp_path / 'store'}"
    common = ["import-teacher", store, "--length", "200", "--name"]
    vectors = ["--vectors", str(tmp_path / "users.npy"), str(tmp_path / "items.safetensors")]
    names = ["--ids", str(tmp_path / "users.txt"), str(tmp_path / "items-ids.npy")]
    assert cli.main([*common, "a", *vectors, *names]) == 0
    assert cli.main([*common, "b", "--function", "ranker_of_a_test.score"]) == 0
    a, b = (read_imported(tmp_path / "store", name) for name in "ab")
    assert a.content == b.content
    rows, _, listed = a.lists(0).of(torch.tensor([1, 5]))
    seen = set(target.data.observed.padded(torch.tensor([5]))[0].tolist())
    mine = listed[rows == 1].tolist()
    expected = [int(item) + 1 for item in np.argsort(-(users[4] @ items.T), kind="stable")]
    assert mine[:200] == [item for item in expected if item not in seen][:200]
    assert mine[200:] == [item for item in expected if item in seen]


def test_vectors_that_do_not_fit(target, tmp_path, capsys):
    users, items = factors(target)
    np.save(tmp_path / "users.npy", users)
    np.save(tmp_path / "items.npy", items[:, :4])
    for name, tokens in (("users", target.users.tokens), ("items", target.items.tokens)):
        (tmp_path / f"{name}.txt").write_text("\n".join(tokens.to_pylist()))
    common = [
        "import-teacher", f"--store_dir={tmp_path / 'store'}", "--name", "v",
        "--vectors", str(tmp_path / "users.npy"), str(tmp_path / "items.npy"),
    ]  # fmt: skip
    names = ["--ids", str(tmp_path / "users.txt"), str(tmp_path / "items.txt")]
    assert cli.main([*common, *names]) == 1
    assert "has vectors of 6 numbers" in capsys.readouterr().err
    assert cli.main(common) == 1
    assert "users.npy holds no ids" in capsys.readouterr().err
    items[3, 2] = np.nan
    np.save(tmp_path / "items.npy", items)
    assert cli.main([*common, *names]) == 1
    assert "NaN or infinity there" in capsys.readouterr().err
    assert imported_names(tmp_path / "store") == []


def test_checkpoints_are_a_trajectory(tmp_path, tiny_run, capsys):
    """A model that RecBole trained by itself on the same split; two of its epochs."""
    split = {"eval_args": {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": "user", "order": "RO", "mode": "full"}}
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for epochs in (1, 3):
        run = tiny_run(tmp_path / f"run-{epochs}", model="BPR", epochs=epochs, eval_step=1, stopping_step=9, **split)
        run.checkpoint.rename(folder / f"after-{epochs}.pth")
    store = tmp_path / "store"
    assert cli.main(["import-teacher", "--name", "bpr", "--checkpoint", str(folder), f"--store_dir={store}"]) == 0
    assert len(read_imported(store, "bpr").snapshots) == 2
    run = tiny_run(model="TeacherEnsemble", store_dir=str(store), teachers=["import:bpr"], teacher_config={})
    assert run.returned["best_valid_score"] > 0
    words = ["import-teacher", "--name", "b", "--checkpoint", str(folder), f"--store_dir={store}", "--seed=5"]
    assert cli.main(words) == 1
    assert "was trained with seed=2020, here it is 5" in capsys.readouterr().err


class Sings:
    """Pickled, it would leave a folder where it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_nothing_that_a_checkpoint_names_is_run(tmp_path, capsys):
    file, sang = tmp_path / "bad.pth", tmp_path / "sang"
    torch.save({"config": Sings(sang), "state_dict": {}, "epoch": 1}, file)
    store = tmp_path / "store"
    assert cli.main(["import-teacher", "--name", "bad", "--checkpoint", str(file), f"--store_dir={store}"]) == 1
    assert not sang.exists()
    assert "bad.pth cannot be read: the file names posix.mkdir" in capsys.readouterr().err
    assert imported_names(store) == []


def test_a_student_is_written_as_a_table(finished_run, tmp_path):
    file = tmp_path / "student.parquet"
    words = ["export-rankings", "--source", str(finished_run.checkpoint), "--output", str(file), "--length", "20"]
    assert cli.main(words) == 0
    frame = pd.read_parquet(file)
    assert list(frame.columns) == ["user", "item", "rank", "snapshot", "seen"]
    assert (frame[~frame.seen].groupby("user").size() == 20).all()
    assert not frame.duplicated(["user", "item"]).any()
