"""Teachers side by side whose trajectories differ: in snapshots, in the users they know, in the items they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from recbole_hetcomp import cli
from recbole_hetcomp.core import PAD
from recbole_hetcomp.student.objective import TaughtLists
from recbole_hetcomp.teachers.importing import TargetData
from recbole_hetcomp.teachers.knowledge import Knowledge
from recbole_hetcomp.trajectories import TrajectoryStore
from recbole_hetcomp.trajectories.imported import read_imported

SNAPSHOTS, EVERY, LENGTH = 5, 7, 110


def table(target: TargetData, file: Path) -> None:
    """Lists of five snapshots, each more popular than the one before; no list for every seventh user of the data set.

    Two users and 3 % of the items are none of the data set's.
    """
    draws = np.random.default_rng(0)
    counts = np.log1p(target.data.item_counts.numpy()[1:])
    users, items = target.users.tokens.to_pylist(), target.items.tokens.to_pylist()
    frames = []
    for snapshot in range(SNAPSHOTS):
        for number, user in enumerate([*users, "nobody", "nobody else"]):
            if number % EVERY == 0 and number < len(users):
                continue
            best = np.argsort(-(counts * snapshot + draws.gumbel(size=len(items)) * (SNAPSHOTS - snapshot)))[:LENGTH]
            named = np.asarray(items, dtype=object)[best]
            named[3 :: LENGTH // 3] = ["nowhere", "gone", "never"]
            frames.append(pd.DataFrame({"user": user, "item": named, "rank": range(LENGTH), "epoch": snapshot}))
    pd.concat(frames).to_parquet(file, index=False)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory, tiny_run: Any, working_in: Any) -> Any:
    """A trainer that a one-step, a trained and an imported teacher have taught, and the import."""
    from recbole_hetcomp.methods.hetcomp import HetCompTrainer

    folder = tmp_path_factory.mktemp("different")
    store = str(folder / "store")
    with working_in(folder):
        target = TargetData.load("ml-100k", settings={"store_dir": store})
        table(target, folder / "part.parquet")
        words = ["import-teacher", "--name=part", f"--table={folder / 'part.parquet'}", f"--store_dir={store}"]
        assert cli.main(words) == 0
    kept: list[Any] = []
    begin = HetCompTrainer.begin
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HetCompTrainer, "begin", lambda self, knowledge: (begin(self, knowledge), kept.append(self)))
        names = ["EASE", "BPR", "import:part"]
        run = tiny_run(
            folder, store_dir=store, teachers=names, snapshots=SNAPSHOTS, alpha=0.01, p=1, compare_no_kd=False
        )
    return kept[0], run, read_imported(store, "part"), target


def unknown(target: TargetData) -> torch.Tensor:
    users = torch.arange(1, target.data.n_users)
    return users[(users - 1) % EVERY == 0]


def test_each_teacher_has_its_own_number_of_snapshots(lesson):
    trainer, run, *_ = lesson
    assert trainer.knowledge.snapshots == [1, 3, SNAPSHOTS]
    assert trainer.state.last.tolist() == [0, 2, SNAPSHOTS - 1]
    assert bool(trainer.state.finished.all())  # those who know two teachers only among them
    assert run.returned["test_result"]["recall@50"] > 0.2


def test_what_does_not_match_is_counted(lesson):
    _, _, imported, target = lesson
    counted = imported.about["mismatches"]
    known = len(target.users.tokens) - len(unknown(target))
    assert counted["absent"] == len(unknown(target))
    assert counted["unknown_user"] == 2 * SNAPSHOTS * LENGTH
    assert counted["unknown_item"] == 3 * SNAPSHOTS * (known + 2)
    assert imported.about["users"] == known


def test_a_user_whom_one_teacher_does_not_know_is_taught_by_the_others(lesson):
    trainer, _, _, target = lesson
    knowledge, users = trainer.knowledge, unknown(target)
    two = Knowledge(knowledge.data, "two", knowledge.teachers[:2], trainer.settings, knowledge.ensemble, None)
    others = TaughtLists(two, 10**6, torch.device("cpu"), "separate")
    everyone = TaughtLists(knowledge, 10**6, torch.device("cpu"), "separate")
    for v in (torch.zeros_like(trainer.state.v), trainer.state.last.expand_as(trainer.state.v)):
        others.rebuild(knowledge.data.users, v[:, :2])
        everyone.rebuild(knowledge.data.users, v)
        assert torch.equal(everyone.unobserved[users], others.unobserved[users])
        assert torch.equal(everyone.observed[users], others.observed[users])
        known = torch.tensor(sorted(set(knowledge.data.users.tolist()) - set(users.tolist())))
        assert not torch.equal(everyone.observed[known], others.observed[known])
    assert (everyone.observed[users][:, 0] != PAD).all()


def test_who_was_not_known_is_not_known_after_export_and_import(lesson, tmp_path):
    trainer, run, _, target = lesson
    store, again = run.settings["store_dir"], tmp_path / "again"
    file = tmp_path / "part.parquet"
    words = ["export-rankings", "--source", "import-part-", "--output", str(file), f"--store_dir={store}"]
    assert cli.main(words) == 0
    words = ["import-teacher", "--name=part", "--table", str(file), f"--store_dir={again}"]
    assert cli.main(words) == 0
    assert read_imported(again, "part").about["mismatches"]["absent"] == len(unknown(target))
    data = trainer.knowledge.data
    (folder,) = Path(store).glob("*/import-part-????????????????")
    ranks = TrajectoryStore(Path(store)).open(folder).observed_ranks[-1]
    lengths = data.observed.lengths()
    for user in unknown(target).tolist()[:5]:
        own = ranks[data.observed.positions(torch.tensor([user]))[0]]
        assert own.tolist() == [lengths[user]] * int(lengths[user])


@pytest.mark.parametrize("fusion", ["rrf", "borda", "combsum", "combmnz", "learned"])
def test_so_does_every_fusion(lesson, fusion):
    import attrs

    trainer, _, _, target = lesson
    knowledge, users = trainer.knowledge, unknown(target)
    chosen = attrs.evolve(trainer.settings, fusion=fusion)
    lists = []
    for teachers in (knowledge.teachers, knowledge.teachers[:2]):
        own = Knowledge(knowledge.data, "own", teachers, chosen, knowledge.ensemble, None)
        made = TaughtLists(own, 10**6, torch.device("cpu"), "separate")
        made.rebuild(users, torch.tensor(own.snapshots).expand(knowledge.data.n_users, -1) - 1)
        lists.append(made)
    assert torch.equal(lists[0].observed[users], lists[1].observed[users])
    assert torch.equal(lists[0].unobserved[users], lists[1].unobserved[users])
