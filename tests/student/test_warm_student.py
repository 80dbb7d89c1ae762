"""Tomorrow's run on ml-100k: goes on from today's weights, says so, and is as good in fewer epochs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, init_seed

from recbole_hetcomp import cli
from recbole_hetcomp.core import Ragged, top_k
from recbole_hetcomp.core.rankings import hide
from recbole_hetcomp.data.matching import rows_before
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden, read_checkpoint, save_atomically
from recbole_hetcomp.recbole_bridge.warm_start import external_ids
from recbole_hetcomp.student.warm_start import begin_warm
from recbole_hetcomp.trajectories import TrajectoryStore

COLUMNS = {"inter": ["user_id", "item_id", "timestamp"]}
TODAY = {"load_col": COLUMNS, "val_interval": {"timestamp": "(-inf,885000000]"}}  # two thirds of the interactions
TOMORROW = {"load_col": COLUMNS}
SETTINGS = {
    "curriculum": "none", "use_consistency": False, "compare_no_kd": False, "teachers": ["BPR", "EASE"],
    "quality_weighting": 10.0, "learning_rate": 0.06, "learning_rate_schedule": "cosine", "epochs": 16, "eval_step": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def today(tiny_run: Callable[..., Any]) -> Any:
    return tiny_run(**SETTINGS, **TODAY, keep_teachers=True)


@pytest.fixture(scope="module")
def tomorrow(tiny_run: Callable[..., Any], today: Any) -> Any:
    teachers = {"BPR": {"eval_step": 2}}  # its epochs are not given, so a share of them is trained
    return tiny_run(
        **SETTINGS, **TOMORROW, warm_start=str(today.checkpoint), teacher_config=teachers, keep_teachers=True
    )


def tomorrows(tmp_path: Path, tiny_settings: Any, checkpoint: Path, **more: Any) -> tuple[Config, Any, Any, Any]:
    """Tomorrow's Config, training loader, student as it is initialised, and validation loader."""
    settings = tiny_settings(tmp_path, **SETTINGS, **TOMORROW, warm_start=str(checkpoint), **more)
    with command_line_hidden():
        config = Config("HetComp", "ml-100k", config_dict=settings)
    init_seed(config["seed"], True)
    train, valid, _ = data_preparation(config, create_dataset(config))
    return config, train, get_model("HetComp")(config, train._dataset), valid


def test_a_checkpoint_says_whose_its_rows_are_and_where_its_teachers_lie(today):
    content = read_checkpoint(today.checkpoint)
    users, items = content["ids"]["user"], content["ids"]["item"]
    assert (users[0], len(set(users))) == ("[PAD]", len(users))
    assert content["state_dict"]["backbone.user_embedding.weight"].shape[0] == len(users)
    assert content["state_dict"]["backbone.item_embedding.weight"].shape[0] == len(items)
    store = Path(today.settings["store_dir"])
    kept = {name: TrajectoryStore(store).weights(store / entry) for name, entry in content["teachers"].items()}
    assert kept["BPR"].state["user_embedding.weight"].shape[0] == len(users)
    assert kept["EASE"] is None


def test_known_rows_are_yesterdays_and_new_ones_lie_among_them(tmp_path, tiny_settings, today):
    _, train, model, _ = tomorrows(tmp_path, tiny_settings, today.checkpoint)
    content = read_checkpoint(today.checkpoint)
    begin_warm(model, model.settings, train._dataset)
    for side, now in external_ids(train._dataset).items():
        rows = rows_before(now, content["ids"][side])
        before = content["state_dict"][f"backbone.{side}_embedding.weight"]
        found = getattr(model.backbone, f"{side}_embedding").weight.detach()
        known = rows >= 0
        assert 0 < int((~known).sum()) < len(known)
        assert torch.equal(found[known], before[rows[known]])
        assert torch.isfinite(found).all()
        assert found[~known].norm(dim=1).max() < 3 * before.norm(dim=1).max()


def test_a_new_user_is_ranked_better_than_by_popularity_before_any_training(tmp_path, tiny_settings, today):
    _, train, model, valid = tomorrows(tmp_path, tiny_settings, today.checkpoint)
    begin_warm(model, model.settings, train._dataset)
    ids = external_ids(train._dataset), read_checkpoint(today.checkpoint)["ids"]
    new = (rows_before(*(side["user"] for side in ids)) < 0).nonzero().flatten()
    table, items = model.backbone.user_embedding.weight.detach(), model.backbone.item_embedding.weight.detach()
    had, wanted = (
        Ragged.from_pairs(data._dataset.inter_feat["user_id"], data._dataset.inter_feat["item_id"], len(table))
        for data in (train, valid)
    )
    counts = torch.bincount(had.values, minlength=len(items)).float()

    def hits(scores: torch.Tensor) -> float:
        scores[:, 0] = -torch.inf
        lists = top_k(hide(scores, new, had), 50)
        return float(Membership.of(wanted).holds(new, lists).sum())

    assert hits(table[new] @ items.t()) > 1.3 * hits(counts.repeat(len(new), 1))


def test_teachers_go_on_or_the_log_says_why_not(tomorrow):
    said = "\n".join(tomorrow.log)
    assert "student: goes on from" in said
    assert "BPR: goes on from yesterday's weights" in said
    assert "EASE: trained from scratch, it is fitted in one step" in said
    content = read_checkpoint(tomorrow.checkpoint)
    store = Path(tomorrow.settings["store_dir"])
    entry = TrajectoryStore(store).open(store / content["teachers"]["BPR"])
    assert len(entry.epochs) == 1  # nobody looks at the others
    assert "warm_start" in entry.settings


def test_it_starts_where_it_was_not_at_the_beginning(tiny_run, tomorrow):
    """Its first validation is above that of the same schedule from scratch."""
    scratch = tiny_run(**SETTINGS, **TOMORROW)

    def first(run: Any) -> float:
        history = json.loads((run.results / "results.json").read_text())["history"]
        return next(line["valid"] for line in history if "valid" in line)

    assert first(tomorrow) > first(scratch)


def test_the_same_command_again_trains_no_teacher(tiny_run, today, tomorrow):
    again = tiny_run(**{**tomorrow.settings, "result_dir": None, "resume": False})
    assert sum("taken from the store" in line for line in again.log) == 2
    assert again.returned["test_result"] == tomorrow.returned["test_result"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"embedding_size": 16}, "embedding_size=16 is not allowed: warm_start=.* has embedding_size=8"),
        ({"student_backbone": "LightGCN"}, "student_backbone='LightGCN' is not allowed"),
        ({"warm_start": "nowhere.pth"}, "warm_start='nowhere.pth' does not exist"),
        ({"warm_start_epochs": 0.0}, "warm_start_epochs=0.0 is not allowed"),
    ],
)
def test_what_cannot_go_on_is_refused_with_the_config(tmp_path, tiny_settings, today, changed, said):
    settings = {**tiny_settings(tmp_path, **SETTINGS), "warm_start": str(today.checkpoint), **changed}
    with command_line_hidden(), pytest.raises((ValueError, FileNotFoundError), match=said):
        Config("HetComp", "ml-100k", config_dict=settings)


def test_a_backbone_of_other_layers_is_refused_before_anything_trains(tmp_path, tiny_settings, today):
    content = read_checkpoint(today.checkpoint)
    wider, name = tmp_path / "wider.pth", "backbone.item_embedding.weight"
    weights = {**content["state_dict"], name: torch.zeros(len(content["ids"]["item"]), 9)}
    save_atomically({**content, "state_dict": weights}, wider)
    _, train, model, _ = tomorrows(tmp_path, tiny_settings, wider)
    with pytest.raises(ValueError, match=r"wider.pth' does not fit: item_embedding.weight has a dimension of 8"):
        begin_warm(model, model.settings, train._dataset)


def test_a_damaged_checkpoint_and_one_without_ids_are_refused(tmp_path, tiny_settings, today):
    half, nameless = tmp_path / "half.pth", tmp_path / "nameless.pth"
    half.write_bytes(today.checkpoint.read_bytes()[:-200])
    content = read_checkpoint(today.checkpoint)
    save_atomically({key: value for key, value in content.items() if key != "ids"}, nameless)
    for file, said in ((half, "half.pth"), (nameless, "does not say whose its rows are")):
        settings = tiny_settings(tmp_path, **SETTINGS, warm_start=str(file))
        with command_line_hidden(), pytest.raises(ValueError, match=said):
            Config("HetComp", "ml-100k", config_dict=settings)


def test_the_commands_option_is_the_setting(capsys):
    assert cli.main(["run", "--warm-start", "nowhere.pth"]) == 2
    assert "warm_start='nowhere.pth' does not exist" in capsys.readouterr().err


def test_a_saved_warm_student_is_loaded_where_its_start_is_gone(tomorrow, today, tmp_path):
    """Tomorrow's checkpoint needs today's no more."""
    import recbole_hetcomp

    aside = today.checkpoint.with_suffix(".aside")
    today.checkpoint.rename(aside)
    try:
        assert len(recbole_hetcomp.load(tomorrow.checkpoint).users) == 943
    finally:
        aside.rename(today.checkpoint)
