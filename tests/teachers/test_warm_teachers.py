"""Teachers from yesterday's weights: scores of who was there stay, whatever the order of ids; why others begin anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset
from recbole.utils import get_model
from torch import nn

from recbole_hetcomp.data.matching import Matching
from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
from recbole_hetcomp.recbole_bridge.config import run_settings
from recbole_hetcomp.recbole_bridge.identity import training_identity
from recbole_hetcomp.recbole_bridge.scoring import all_item_scores
from recbole_hetcomp.recbole_bridge.warm_start import Yesterday, external_ids, go_on_from
from recbole_hetcomp.teachers.warm_start import TeacherStart, found_start, needed_snapshots
from recbole_hetcomp.trajectories import KeptWeights, Trajectory, TrajectoryStore
from recbole_hetcomp.trajectories.weights import WEIGHTS

COLUMNS = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
YESTERDAY = {**COLUMNS, "val_interval": {"timestamp": "(-inf,885000000]"}}
LISTS = Trajectory(
    torch.ones(1, 3, 2, dtype=torch.int16), torch.zeros(1, 4, dtype=torch.int16), epochs=(1,), scores=(0.5,)
)


def config_of(name: str, **more: Any) -> Config:
    with command_line_hidden():
        return Config(name, "ml-100k", config_dict={"show_progress": False, **more})


@pytest.fixture(scope="module")
def days() -> tuple[Any, Any]:
    """The first two thirds of ml-100k by time, and all of it."""
    found = create_dataset(config_of("BPR", **YESTERDAY)), create_dataset(config_of("BPR", **COLUMNS))
    for day in found:
        day._change_feat_format()  # as a training split has it
    return found


@pytest.fixture(scope="module")
def matching(days: tuple[Any, Any]) -> Matching:
    return Matching.of(days[1], external_ids(days[0]))


def both(name: str, days: tuple[Any, Any]) -> tuple[Any, Any]:
    torch.manual_seed(0)
    config = config_of(name, **COLUMNS)
    return tuple(get_model(name)(config, day).eval() for day in days)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["IALS", "CML", "BPR", "NeuMF"])
def test_who_was_there_is_scored_as_before(name, days, matching):
    before, now = both(name, days)
    go_on_from(now, before.state_dict(), matching)
    users = (matching.rows["user"] > 0).nonzero().flatten()[:20]
    items = (matching.rows["item"] > 0).nonzero().flatten()
    assert matching.rows["user"][users].tolist() != users.tolist()  # another order
    with torch.no_grad():
        expected = all_item_scores(before, matching.rows["user"][users], days[0].item_num)
        found = all_item_scores(now, users, days[1].item_num)
    torch.testing.assert_close(found[:, items], expected[:, matching.rows["item"][items]])
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(("name", "counted"), [("MultiVAE", {"update": 9}), ("ItemVAE", {}), ("LightGCN", {})])
def test_every_row_of_a_table_is_moved_whatever_side_it_is_of(name, counted, days, matching):
    before, now = both(name, days)
    go_on_from(now, before.state_dict(), matching, counted)
    moved = set()
    for key, value in now.state_dict().items():
        was = before.state_dict()[key]
        axes = matching.axes(key, was.shape, value.shape)
        for axis, side in enumerate(axes):
            if side is not None:
                moved.add(side)
                rows = matching.rows[side]
                known = rows >= 0
                assert torch.equal(value.transpose(0, axis)[known], was.transpose(0, axis)[rows[known]])
                assert torch.isfinite(value).all()
        if not any(axes):
            assert torch.equal(value, was)
    assert moved
    assert all(getattr(now, key) == value for key, value in counted.items())


def test_a_move_to_the_same_data_changes_nothing(days):
    _, now = both("BPR", days)
    weights = {name: value.clone() for name, value in now.state_dict().items()}
    go_on_from(now, weights, Matching.of(days[1], external_ids(days[1])))
    assert all(torch.equal(value, weights[name]) for name, value in now.state_dict().items())


def test_weights_of_another_model_are_refused_and_leave_it_as_it_was(days, matching):
    before, now = both("BPR", days)
    weights = {name: value.clone() for name, value in now.state_dict().items()}
    wider = {**before.state_dict(), "item_embedding.weight": torch.zeros(days[0].item_num, 3)}
    for state, said in ((nn.Linear(2, 2).state_dict(), "other weights than before"), (wider, "dimension")):
        with pytest.raises(ValueError, match=said):
            go_on_from(now, state, matching)
    assert all(torch.equal(value, weights[name]) for name, value in now.state_dict().items())


def test_data_with_nobody_in_common_are_refused(days):
    ids = {side: ["[PAD]", "someone else"] for side in ("user", "item")}
    with pytest.raises(ValueError, match="none of the 943 users of ml-100k was there before"):
        Matching.of(days[1], ids)


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., tuple[Yesterday, Any]]:
    """``kept(settings)``: a checkpoint whose teacher IALS, of these settings, was kept; and a run's settings."""

    def write(settings: dict[str, Any]) -> tuple[Yesterday, Any]:
        store = TrajectoryStore(tmp_path / "store")
        entry = store.write("data", "IALS", settings, LISTS, KeptWeights({"table": torch.ones(2, 2)}))
        teachers = {"IALS": "/".join(entry.parts[-2:]), "CML": "data/CML-gone"}
        run = run_settings(config_of("HetComp", store_dir=str(tmp_path / "store")))
        return Yesterday(tmp_path / "student.pth", {"user": ["[PAD]"], "item": ["[PAD]"]}, teachers, {}), run

    return write


def test_another_schedule_is_the_same_teacher_and_another_size_is_not(kept):
    yesterday, settings = kept(training_identity(config_of("IALS", epochs=3, seed=5)))
    start = found_start("IALS", config_of("IALS"), yesterday, settings)
    assert isinstance(start, TeacherStart)
    assert len(start.identity) == 33
    assert "embedding_size" in found_start("IALS", config_of("IALS", embedding_size=9), yesterday, settings)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("EASE", "it is fitted in one step"),
        ("SASRec", "it is a sequential model"),
        ("CML", "has no weights of it; keep_teachers=True keeps"),
        ("BPR", "knows no teacher of this name"),
    ],
)
def test_why_a_teacher_is_trained_from_scratch(kept, name, why):
    yesterday, settings = kept({})
    more = {"train_neg_sample_args": None} if name == "SASRec" else {}
    assert why in found_start(name, config_of(name, **more), yesterday, settings)


def test_damaged_weights_are_not_gone_on_from(kept, tmp_path):
    yesterday, settings = kept(training_identity(config_of("IALS")))
    file = tmp_path / "store" / yesterday.teachers["IALS"] / WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])
    assert "truncated" in found_start("IALS", config_of("IALS"), yesterday, settings)


def test_snapshots_that_nobody_looks_at_are_not_recorded():
    assert needed_snapshots(run_settings(config_of("HetComp"))) == 1
    assert needed_snapshots(run_settings(config_of("HetComp", curriculum="dynamic"))) == 4
    windowed = {"use_consistency": True, "consistency_window": 1}
    assert needed_snapshots(run_settings(config_of("HetComp", **windowed))) == 4
