"""Recommendations by external ids: against a naive ranking, of every kind of model, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import recbole_hetcomp
from recbole_hetcomp import cli
from recbole_hetcomp.core import Ragged
from recbole_hetcomp.data.rankings.reading import RankingTable
from recbole_hetcomp.serving.recommender import Recommender

USERS, ITEMS = ["[PAD]", "ann", "bob", "7"], ["[PAD]", "x", "y", "z", "w"]
SCORES = torch.tensor([[0.0] * 5, [9, 1, 3, 2, 3], [9, 4, 3, 2, 1], [9, 1, 1, 1, 1]])
SEEN = Ragged.from_pairs(torch.tensor([1, 2, 2]), torch.tensor([2, 1, 4]), n_users=4)  # ann: y; bob: x, w
COUNTS = torch.tensor([0, 1, 5, 5, 2])


def small(budget: int = 10) -> Recommender:
    return Recommender(lambda users: SCORES[users].clone(), USERS, ITEMS, SEEN, COUNTS, budget)


def rows(found: Any) -> dict[str, list[str]]:
    return {user: [item for item in items if item is not None] for user, items in zip(found.users, found.items)}


def test_the_best_items_that_a_user_has_not_seen_ties_to_the_smaller_id():
    found = small().recommend(["bob", 7, "ann"], k=3)
    assert rows(found) == {"bob": ["y", "z"], "7": ["x", "y", "z"], "ann": ["w", "z", "x"]}
    assert found.scores[0, :2].tolist() == [3, 2]
    assert np.isnan(found.scores[0, 2])
    assert not found.fallback.any()


def test_an_unknown_user_gets_what_is_popular_and_is_marked():
    found = small().recommend(["new", "ann"], k=2, deny=["y"])
    assert rows(found) == {"new": ["z", "w"], "ann": ["w", "z"]}
    assert found.fallback.tolist() == [True, False]
    frame = found.frame()
    assert frame["fallback"].tolist() == [True, True, False, False]
    assert frame["rank"].tolist() == [1, 2, 1, 2]
    assert frame["score"].tolist() == [5, 2, 3, 2]


def test_lists_of_what_may_be_recommended():
    assert rows(small().recommend(["7"], 4, allow=["z", "w"])) == {"7": ["z", "w"]}
    assert rows(small().recommend(["7"], 4, allow=["z", "w"], deny=["z"])) == {"7": ["w"]}
    assert rows(small().recommend(["7", "ann"], 4, exclude={7: ["x", "unheard of"]})) == {
        "7": ["y", "z", "w"], "ann": ["w", "z", "x"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"k": 0}, "k=0 is not allowed"),
        ({"k": 2.5}, "k=2.5 is not allowed"),
        ({"k": True}, "k=True is not allowed"),
        ({"allow": ["x", "q"]}, "allow names 1 of 2 items that the model does not know, 'q' first"),
        ({"deny": ["q"]}, "deny names 1 of 1"),
        ({"deny": ["x", "y", "z", "w"]}, "leave no item"),
        ({"allow": []}, "leave no item"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_first_block(how, said):
    with pytest.raises(ValueError, match=said):
        small().batches(["ann"], **how)


def test_blocks_fit_a_budget_and_a_processors_cache():
    assert (small(budget=10).at_once, small(budget=4).at_once) == (2, 1)
    assert small(budget=1 << 30).at_once == (3 << 20) // 5
    blocks = list(small(budget=10).batches(["ann", "new", "bob", "7", "ann"], k=2))
    assert [block.users.tolist() for block in blocks] == [["ann", "new"], ["bob", "7"], ["ann"]]
    assert [block.fallback.tolist() for block in blocks] == [[False, True], [False, False], [False]]


def test_no_users_have_no_lists():
    assert len(small().recommend([]).frame()) == 0


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_block_size_gives_the_naive_lists(data):
    n_users, n_items, k = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 9)), data.draw(st.integers(1, 12))
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    scores = torch.randint(0, 4, (n_users + 1, n_items + 1), generator=draw).float()
    pairs = (torch.rand(n_users + 1, n_items + 1, generator=draw) < 0.4).nonzero().T
    pairs = pairs[:, (pairs > 0).all(0)]
    seen = Ragged.from_pairs(*pairs, n_users + 1)
    names = [
        ["[PAD]", *(f"{kind}{number}" for number in range(1, n + 1))] for kind, n in (("u", n_users), ("i", n_items))
    ]
    recommender = Recommender(
        lambda users: scores[users].clone(), *names, seen, torch.zeros(n_items + 1), data.draw(st.integers(1, 40))
    )
    found = rows(recommender.recommend(names[0][1:], k))
    had = {(user, item) for user, item in pairs.T.tolist()}
    for user in range(1, n_users + 1):
        order = sorted(range(1, n_items + 1), key=lambda item: (-scores[user, item], item))
        assert found[f"u{user}"] == [f"i{item}" for item in order if (user, item) not in had][:k]


@pytest.fixture(scope="module")
def student(finished_run) -> Path:
    return finished_run.checkpoint


def all_interactions() -> pd.DataFrame:
    import recbole

    file = Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
    return pd.read_csv(file, sep="\t", dtype=str).iloc[:, :2].set_axis(["user", "item"], axis=1)


def test_a_saved_student_recommends_what_nobody_has_seen(student):
    recommender = recbole_hetcomp.load(student)
    found = recommender.recommend(recommender.users, k=20)
    had = set(all_interactions().itertuples(index=False, name=None))
    frame = found.frame()
    assert len(frame) == 943 * 20
    assert not had & set(zip(frame["user"], frame["item"]))
    assert (frame.groupby("user")["score"].diff().dropna() <= 0).all()


def test_with_training_items_alone_it_is_what_an_evaluation_ranks(student):
    """Recall@50 of its lists on the test split is the run's own."""
    recommender = recbole_hetcomp.load(student, seen="training")
    *_, train, valid, test = recbole_hetcomp.load_data_and_model(str(student))
    tokens = [train._dataset.field2id_token[field] for field in ("user_id", "item_id")]
    parts = [
        Counter((tokens[0][user], tokens[1][item]) for user, item in zip(feat["user_id"], feat["item_id"]))
        for feat in (valid._dataset.inter_feat, test._dataset.inter_feat)
    ]
    users = sorted({user for user, _ in parts[1]})
    exclude: dict[str, list[str]] = {}
    for user, item in parts[0]:
        exclude.setdefault(user, []).append(item)
    found = rows(recommender.recommend(users, 50, exclude=exclude))
    wanted: dict[str, set[str]] = {}
    for user, item in parts[1]:
        wanted.setdefault(user, set()).add(item)
    recall = np.mean([len(wanted[user] & set(found[user])) / len(wanted[user]) for user in users])
    stored = pd.read_csv(student.parent.parent / "results" / "results.csv").set_index("name")
    assert recall == pytest.approx(stored.loc["HetComp", "recall@50"], abs=1e-5)


@pytest.mark.parametrize("model", ["TeacherEnsemble", "BPR", "EASE"])
def test_ensembles_and_models_of_recboles(model, finished_run, tiny_run, tmp_path):
    if model == "TeacherEnsemble":
        checkpoint = tiny_run(model=model).checkpoint
    else:
        settings = {"epochs": 1, "eval_step": 1, "show_progress": False, "checkpoint_dir": str(tmp_path)}
        recbole_hetcomp.run(model, "ml-100k", config_dict=settings)
        (checkpoint,) = tmp_path.glob("*.pth")
    found = recbole_hetcomp.load(checkpoint).recommend(["1", "nobody"], k=10)
    assert len({item for item in found.items[0] if item is not None}) == 10
    assert found.fallback.tolist() == [False, True]


def test_a_sequential_model_is_refused(tmp_path):
    settings = {"epochs": 1, "eval_step": 1, "show_progress": False, "checkpoint_dir": str(tmp_path)}
    settings |= {"train_neg_sample_args": None, "hidden_size": 8, "inner_size": 8, "n_layers": 1}
    recbole_hetcomp.run("SASRec", "ml-100k", config_dict={**settings, "MAX_ITEM_LIST_LENGTH": 5})
    (checkpoint,) = tmp_path.glob("*.pth")
    with pytest.raises(ValueError, match="SASRec is a sequential model"):
        recbole_hetcomp.load(checkpoint)


def words(checkpoint: Path, to: Path, *more: str) -> list[str]:
    return ["recommend", f"--checkpoint={checkpoint}", f"--to={to}", *more]


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "trec"])
def test_the_command_writes_every_format_and_import_reads_it(student, ending, tmp_path, capsys):
    (tmp_path / "users.txt").write_text("1\r\n\n196\nnobody\n", encoding="utf-8-sig")
    to = tmp_path / f"lists.{ending}"
    assert cli.main(words(student, to, f"--users={tmp_path / 'users.txt'}", "--k=3", "--deny=50,100")) == 0
    assert "9 rows; 1 unknown users got the most popular items" in capsys.readouterr().out
    if ending != "trec":
        read = pd.read_parquet(to) if ending == "parquet" else pd.read_csv(to, sep=None, engine="python")
        assert read["fallback"].tolist() == [False] * 6 + [True] * 3
        assert not {"50", "100"} & set(read["item"].astype(str))
    table = RankingTable(to)
    assert [len(batch.key) for batch in table.batches()] == [9]


def test_the_command_ranks_everybody_and_knows_ids_between_commas(student, tmp_path, capsys):
    assert cli.main(words(student, tmp_path / "all.parquet", "--k=2")) == 0
    assert "1886 rows\n" in capsys.readouterr().out
    assert cli.main(words(student, tmp_path / "some.csv", "--users=1, 2", "--allow=1,2,3,4,5,6,7,8,9,10,11,12")) == 0
    assert set(pd.read_csv(tmp_path / "some.csv")["item"]) <= set(range(1, 13))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--users=nowhere/users.txt"], "nowhere/users.txt does not exist"),
        (["--k=0"], "k=0 is not allowed"),
        (["--allow=unheard"], "allow names 1 of 1 items"),
        (["--format=xml"], "xml"),
    ],
)
def test_a_wrong_call_writes_nothing(student, more, said, tmp_path, capsys):
    assert cli.main(words(student, tmp_path / "lists.csv", *more)) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert cli.main(words(tmp_path / "gone.pth", tmp_path / "lists.csv")) == 2
    assert "gone.pth does not exist" in capsys.readouterr().err
    assert cli.main(words(student, tmp_path / "no" / "lists.csv")) == 2
    assert cli.main(words(student, tmp_path / "lists.doc")) == 2
    (tmp_path / "folder.csv").mkdir()
    assert cli.main(words(student, tmp_path / "folder.csv")) == 2
    assert "folder.csv is a folder" in capsys.readouterr().err


def test_ids_between_commas_may_be_longer_than_a_files_name(student, tmp_path, capsys):
    asked = [str(number) for number in range(1, 301)]
    assert cli.main(words(student, tmp_path / "many.csv", f"--users={','.join(asked)}", "--k=1")) == 0
    assert pd.read_csv(tmp_path / "many.csv")["user"].astype(str).tolist() == asked
