"""The whole of it: files, card, command, RecBole; and the paper's numbers where its data is at hand."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import recbole_hetcomp.data.prepare
from recbole_hetcomp import cli
from recbole_hetcomp.data.prepare import Filters, Layout, pipeline, prepare
from recbole_hetcomp.data.prepare.card import popularity

CITEULIKE = os.environ.get("HETCOMP_CITEULIKE")


@pytest.fixture
def raw(tmp_path):
    """Ratings of 30 users: a CSV without header, with a few repeats, low ratings and idle users."""
    generator = np.random.default_rng(3)
    users = generator.integers(0, 30, 500)
    items = (80 * generator.random(500) ** 2).astype(int)
    lines = [f"u{u},i{i},{generator.integers(1, 6)}.0,{1300 + n}" for n, (u, i) in enumerate(zip(users, items))]
    file = tmp_path / "ratings.csv"
    file.write_text("\n".join([*lines, "lonely,i1,5.0,1"]) + "\n")
    return file


@pytest.fixture
def made(raw, tmp_path):
    return prepare(raw, tmp_path / "data", "toy", Layout("ratings-csv"), Filters(threshold=3.0))


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def inter(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, sep="\t", dtype={"user_id:token": str, "item_id:token": str})


# --- files ---


def test_the_files_hold_what_the_card_says(made):
    card = json.loads((made.folder / "toy.card.json").read_text())
    assert card == json.loads(json.dumps(made.card))
    frames = {part: inter(made.folder / f"toy.{part}.inter") for part in ("train", "valid", "test")}
    for part, frame in frames.items():
        columns = frame["user_id:token"], frame["item_id:token"]
        sizes = {"interactions": len(frame), "users": columns[0].nunique(), "items": columns[1].nunique()}
        assert card["parts"][part] == sizes
    everything = pd.concat(frames.values())
    assert not everything.duplicated().any()
    assert set(frames["valid"]["user_id:token"]) == set(frames["test"]["user_id:token"])
    catalogue = inter(made.folder / "toy.item")["item_id:token"]
    assert set(everything["item_id:token"]) <= set(catalogue)
    assert len(catalogue) == catalogue.nunique() == card["items"]
    assert card["read"]["interactions"] == 501
    dropped = sum(row["interactions"] for row in card["dropped"])
    assert card["interactions"] == len(everything) == 501 - dropped
    assert card["density"] == len(everything) / (card["users"] * card["items"])


def test_checksums(made, raw):
    card = made.card
    assert card["input"]["sha256"] == hashlib.sha256(raw.read_bytes()).hexdigest()
    assert set(card["files"]) == {"toy.train.inter", "toy.valid.inter", "toy.test.inter", "toy.item"}
    for name, digest in card["files"].items():
        assert hashlib.sha256((made.folder / name).read_bytes()).hexdigest() == digest


def test_the_card_for_people(made):
    text = (made.folder / "toy.card.md").read_text()
    for word in ("rating below 3", "user with fewer than 5", "top 10%", "Gini", made.card["command"]):
        assert word in text
    assert all(digest in text for digest in made.card["files"].values())


def test_the_same_bytes_again_and_elsewhere(made, raw, tmp_path):
    again = prepare(raw, tmp_path / "elsewhere", "toy", Layout("ratings-csv"), Filters(threshold=3.0))
    before, after = content(made.folder), content(again.folder)
    assert yaml.safe_load(before.pop("toy.yaml"))["data_path"] == str(tmp_path / "data")
    assert yaml.safe_load(after.pop("toy.yaml"))["data_path"] == str(tmp_path / "elsewhere")
    assert before == after


def test_the_command_on_the_card_makes_the_same(made, raw, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(raw.parent)
    words = shlex.split(made.card["command"].replace("DIR", "again"))
    assert words[0] == "hetcomp"
    assert cli.main(words[1:]) == 0
    before, after = content(made.folder), content(tmp_path / "again" / "toy")
    del before["toy.yaml"], after["toy.yaml"]
    assert before == after
    printed = capsys.readouterr().out
    assert "dropped rating below 3: " in printed
    assert "--config_files=again/toy/toy.yaml" in printed


def test_every_setting_is_in_the_command(raw, tmp_path):
    layout = Layout("table", user_column="a b", separator="\t")
    filters = Filters(threshold=1.5, min_user=3, min_item=2, k_core=True)
    command = pipeline.command("x.csv", "toy", layout, filters, "none", 0)
    assert command == (
        "hetcomp prepare --format table --input x.csv --output DIR --name toy --user_column 'a b' --separator '\\t' "
        "--threshold 1.5 --min_user 3 --min_item 2 --k_core --split none"
    )
    columns = Layout("ratings-csv", columns=("item", "user", "_"))
    assert "--columns item,user,_ " in pipeline.command("x.csv", "toy", columns, Filters(), "paper", 7)


def test_no_split_keeps_times(raw, tmp_path):
    made = prepare(raw, tmp_path, "whole", Layout("ratings-csv"), split="none")
    assert sorted(content(made.folder)) == ["whole.card.json", "whole.card.md", "whole.inter", "whole.yaml"]
    frame = inter(made.folder / "whole.inter")
    assert list(frame.columns) == ["user_id:token", "item_id:token", "timestamp:float"]
    assert frame["timestamp:float"].is_monotonic_increasing
    assert yaml.safe_load(made.config_file.read_text())["load_col"] == {"inter": ["user_id", "item_id", "timestamp"]}
    assert made.card["seed"] is None
    assert list(made.card["parts"]) == ["all"]


@pytest.mark.parametrize("split", ["temporal", "temporal-global", "leave-one-out"])
def test_splits_by_time_find_the_usual_column(raw, tmp_path, split):
    table = tmp_path / "table.csv"
    table.write_text("userId,movieId,rating,timestamp\n" + raw.read_text())
    words = ["prepare", "--format", "table", "--input", str(table), "--output", str(tmp_path / "out"), "--name", "toy"]
    assert cli.main([*words, "--split", split, "--threshold", "2"]) == 0
    card = json.loads((tmp_path / "out" / "toy" / "toy.card.json").read_text())
    assert f"--threshold 2.0 --split {split}" in card["command"]
    assert list(card["parts"]) == ["train", "valid", "test"]
    rows = pd.read_csv(table).query("rating >= 2").drop_duplicates(["userId", "movieId"])
    when = rows.set_index(["userId", "movieId"])["timestamp"]
    parts = [inter(tmp_path / "out" / "toy" / f"toy.{part}.inter") for part in ("train", "valid", "test")]
    train, valid, test = (
        part.assign(when=list(when.loc[list(part.itertuples(index=False, name=None))])) for part in parts
    )
    if split == "temporal-global":
        assert train["when"].max() < valid["when"].min() < valid["when"].max() < test["when"].min()
    newest = [part.groupby("user_id:token")["when"].max() for part in (train, valid)]
    oldest = [part.groupby("user_id:token")["when"].min() for part in (valid, test)]
    for before, after in zip(newest, oldest):
        both = before.index.intersection(after.index)
        assert len(both) > 5
        assert (before[both] < after[both]).all()


# --- whole or not at all ---


def test_an_existing_folder_is_refused(made, raw, tmp_path):
    before = content(made.folder)
    with pytest.raises(FileExistsError, match="--overwrite"):
        prepare(raw, tmp_path / "data", "toy", Layout("ratings-csv"))
    assert content(made.folder) == before


def test_overwrite_replaces_all_of_it(made, raw, tmp_path):
    made_again = prepare(raw, tmp_path / "data", "toy", Layout("ratings-csv"), split="none", overwrite=True)
    assert sorted(content(made_again.folder)) == ["toy.card.json", "toy.card.md", "toy.inter", "toy.yaml"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["toy"]


def test_overwrite_spares_what_was_not_made_here(raw, tmp_path):
    (tmp_path / "data" / "toy").mkdir(parents=True)
    (tmp_path / "data" / "toy" / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match="was not made by this tool"):
        prepare(raw, tmp_path / "data", "toy", Layout("ratings-csv"), overwrite=True)
    assert (tmp_path / "data" / "toy" / "thesis.tex").is_file()


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_stays_behind_when_writing_fails(made, raw, tmp_path, monkeypatch, overwrite):
    before = content(made.folder)

    def full(card):
        raise OSError("disk full")

    monkeypatch.setattr(pipeline.cards, "as_markdown", full)
    name = "toy" if overwrite else "other"
    with pytest.raises(OSError, match="disk full"):
        prepare(raw, tmp_path / "data", name, Layout("ratings-csv"), overwrite=overwrite)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["toy"]
    assert content(made.folder) == before


# --- errors ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "../up"}, "name is '../up'"),
        ({"name": "ml-100k"}, "RecBole always loads its own copy"),
        ({"split": "loo"}, "split is 'loo'; allowed: paper, temporal, temporal-global, leave-one-out, none"),
    ],
)
def test_wrong_settings(raw, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        prepare(raw, tmp_path, **{"name": "toy", "layout": Layout("ratings-csv"), **settings})


def test_the_command_says_what_is_wrong(raw, tmp_path, capsys):
    words = ["prepare", "--format", "citeulike", "--output", str(tmp_path / "out"), "--name", "toy", "--input"]
    assert cli.main([*words, str(tmp_path / "users.dat")]) == 2
    assert "error: " in (printed := capsys.readouterr()).err
    assert "citeulike-t" in printed.err
    assert cli.main([*words, str(raw), "--seeds", "1"]) == 2
    assert "'--seeds'" in capsys.readouterr().err
    assert cli.main([*words, str(raw), "--separator", ";"]) == 2
    assert "separator does not apply to format 'citeulike'" in capsys.readouterr().err
    assert cli.main([*words, str(raw), "--name", "ml-100k"]) == 2
    assert "RecBole always loads its own copy" in capsys.readouterr().err
    assert cli.main([*words, str(raw)]) == 1
    assert "line 1 of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- popularity ---


def test_popularity_by_hand():
    """Ten items: five without an interaction, four with 1, one with 6."""
    found = popularity(np.array([0] * 6 + [1, 2, 3, 4]), n_items=10)
    assert found["top"] == {"1%": 0.6, "5%": 0.6, "10%": 0.6, "20%": 0.7, "50%": 1.0}
    assert found["gini"] == pytest.approx((1 + 3 + 5 + 7 + 9 * 6) / 100)


def test_equal_items_have_no_gini():
    assert popularity(np.arange(7), n_items=7)["gini"] == 0.0


# --- RecBole ---


def test_recbole_loads_it(made):
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation

    settings = {"eval_args": {"mode": "full"}, "state": "ERROR"}
    config = Config("BPR", "toy", [str(made.config_file)], settings)
    dataset = create_dataset(config)
    assert dataset.user_num - 1 == made.card["users"]
    assert dataset.item_num - 1 == made.card["items"]
    loaders = data_preparation(config, dataset)
    for loader, part in zip(loaders, ("train", "valid", "test")):
        read = loader._dataset.inter_feat
        tokens = [dataset.id2token(field, read[field].numpy()) for field in ("user_id", "item_id")]
        expected = inter(made.folder / f"toy.{part}.inter").iloc[:, :2]  # times are for who learns from sequences
        assert sorted(zip(*tokens)) == sorted(expected.itertuples(index=False, name=None))


def test_recbole_splits_it_itself(raw, tmp_path):
    from recbole.config import Config
    from recbole.data import create_dataset

    made = prepare(raw, tmp_path, "whole", Layout("ratings-csv"), split="none")
    settings = {"eval_args": {"order": "TO", "split": {"LS": "valid_and_test"}}, "state": "ERROR"}
    dataset = create_dataset(Config("BPR", "whole", [str(made.config_file)], settings))
    assert [len(part) for part in dataset.build()][1:] == [made.card["users"]] * 2


# --- the paper's data ---


@pytest.mark.skipif(CITEULIKE is None, reason="HETCOMP_CITEULIKE names no folder with citeulike-t's users.dat")
def test_the_numbers_of_the_paper(tmp_path):
    made = prepare(Path(str(CITEULIKE)) / "users.dat", tmp_path, "citeulike-t", Layout("citeulike"))
    card = made.card
    assert {name: part["interactions"] for name, part in card["parts"].items()} == {
        "train": 78_958,
        "valid": 20_823,
        "test": 20_823,
    }
    assert (card["users"], card["items"]) == (5_219, 25_181)
    assert card["read"] == {"interactions": 134_860, "users": 7_947, "items": 25_584}


# --- imports ---


@pytest.mark.parametrize(
    "file", sorted(Path(recbole_hetcomp.data.prepare.__file__).parent.rglob("*.py")), ids=lambda f: f.name
)
def test_it_needs_neither_recbole_nor_torch(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in names} & {"recbole", "torch", "ray", "scipy"}
