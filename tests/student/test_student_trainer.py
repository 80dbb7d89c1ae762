"""Real runs of seconds on ml-100k through RecBole's own run_recbole: table, store, backbones, curriculum."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recbole_hetcomp.methods.hetcomp import HetCompTrainer
from recbole_hetcomp.teachers.pool import TeacherPool
from recbole_hetcomp.trajectories import CorruptTrajectoryError

METRICS = ["recall@10", "recall@50", "ndcg@10", "ndcg@50"]
DATA_KEYS = ("eval_args", "metrics", "topk", "valid_metric", "metric_decimal_place", "eval_batch_size")


def report(run: Any) -> dict[str, Any]:
    return json.loads((run.results / "results.json").read_text())


def rows(run: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in report(run)["rows"]}


def test_metrics(row: dict[str, Any]) -> dict[str, float]:
    return {name: row[name] for name in METRICS}


test_metrics.__test__ = False  # type: ignore[attr-defined]


# --- the result ---


def test_the_table_has_a_row_for_every_model(finished_run):
    result = report(finished_run)
    assert [(row["name"], row["role"]) for row in result["rows"]] == [
        ("BPR", "teacher"),
        ("EASE", "teacher"),
        ("TeacherEnsemble", "ensemble"),
        ("NoKD", "student"),
        ("HetComp", "student"),
    ]
    for row in result["rows"]:
        assert set(row) >= {"name", "role", *METRICS, "parameters", "share_of_ensemble"}
        assert all(0 < row[name] < 1 for name in METRICS)
        assert set(row["valid"]) == set(METRICS)
    assert result["seed"] == 2020
    assert result["dataset"] == "ml-100k"
    assert result["settings"]["teachers"] == ["BPR", "EASE"]
    assert {"python", "torch", "recbole", "recbole-hetcomp"} <= set(result["versions"])
    assert len(result["data_fingerprint"]) == 16
    assert set(result["teacher_epochs"]) == {"BPR", "EASE"}


def test_the_csv_holds_the_same_table(finished_run):
    with (finished_run.results / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["name", "role", *METRICS, "parameters", "share_of_ensemble", "seconds"]
    for line, row in zip(lines, report(finished_run)["rows"]):
        assert line["name"] == row["name"]
        for name in [*METRICS, "parameters", "share_of_ensemble"]:
            assert float(line[name]) == pytest.approx(row[name], rel=1e-12)


def test_the_picture_is_a_png_and_nothing_else_is_left(finished_run):
    assert (finished_run.results / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    left = {file.name for file in finished_run.results.iterdir()} - {".lock"}
    assert left == {"curves.png", "results.csv", "results.json"}


def test_parameters_and_shares(finished_run):
    table = rows(finished_run)
    student = (944 + 1683) * 8
    assert table["HetComp"]["parameters"] == table["NoKD"]["parameters"] == student
    assert table["BPR"]["parameters"] == (944 + 1683) * 64
    assert table["EASE"]["parameters"] == 1683**2
    assert table["TeacherEnsemble"]["parameters"] == table["BPR"]["parameters"] + table["EASE"]["parameters"]
    assert table["TeacherEnsemble"]["share_of_ensemble"] == 1
    ensemble = table["TeacherEnsemble"]["recall@50"]
    for row in table.values():
        assert row["share_of_ensemble"] == pytest.approx(row["recall@50"] / ensemble)


def test_the_students_row_is_what_run_recbole_returns(finished_run):
    row = rows(finished_run)["HetComp"]
    assert test_metrics(row) == dict(finished_run.returned["test_result"])
    assert row["valid"] == dict(finished_run.returned["best_valid_result"])
    assert finished_run.returned["best_valid_score"] == row["valid"]["recall@50"]


def test_the_history_follows_every_epoch(finished_run):
    history = report(finished_run)["history"]
    assert [line["epoch"] for line in history] == list(range(12))
    assert all(math.isfinite(line["loss"]) for line in history)
    assert [line["epoch"] for line in history if "valid" in line] == [2, 5, 8, 11]
    steps = [line for line in history if "discrepancy" in line]
    assert [line["epoch"] for line in steps][:3] == [2, 4, 6]
    for line in steps:
        assert set(line["discrepancy"]) == {"BPR", "EASE"}
        assert sum(line["snapshot_shares"]) == pytest.approx(1)
        assert 0 <= line["fine"] <= 1
    assert max(line["valid"] for line in history if "valid" in line) == finished_run.returned["best_valid_score"]


def test_a_teachers_row_is_recboles_evaluation_of_the_model_itself(finished_run, tiny_run):
    """The table evaluates stored lists; RecBole evaluates EASE alive, on the same split."""
    settings = report(finished_run)["settings"]
    alive = tiny_run(model="EASE", eval_step=1, **{key: settings[key] for key in DATA_KEYS})
    row = rows(finished_run)["EASE"]
    assert test_metrics(row) == dict(alive.returned["test_result"])
    assert row["valid"] == dict(alive.returned["best_valid_result"])


def test_the_ensembles_row_is_what_the_ensemble_run_by_itself_gets(finished_run, tiny_run):
    alone = tiny_run(model="TeacherEnsemble")
    assert not any(": trained in" in line for line in alone.log)
    row = rows(finished_run)["TeacherEnsemble"]
    assert test_metrics(row) == dict(alone.returned["test_result"])
    assert row["valid"] == dict(alone.returned["best_valid_result"])


def test_no_kd_can_be_left_out(finished_run, tiny_run):
    run = tiny_run(compare_no_kd=False, epochs=3)
    assert list(rows(run)) == ["BPR", "EASE", "TeacherEnsemble", "HetComp"]


def test_without_a_folder_results_go_below_results(finished_run, tiny_run, tmp_path):
    run = tiny_run(
        tmp_path, result_dir=None, checkpoint_dir=str(tmp_path / "saved"), epochs=3, **{"compare_no_kd": False}
    )
    (folder,) = (tmp_path / "results" / "ml-100k").iterdir()
    assert folder.name == json.loads((folder / "results.json").read_text())["run"]
    assert run.checkpoint.stem == f"ml-100k-{folder.name}"


# --- the store ---


def test_a_second_run_trains_no_teacher_and_gets_the_same_student(finished_run, tiny_run, monkeypatch):
    def fail(self: Any, lesson: Any) -> None:
        raise AssertionError(f"{lesson.label} was trained")

    monkeypatch.setattr(TeacherPool, "_train", fail)
    again = tiny_run()
    assert again.folder != finished_run.folder
    assert sum("taken from the store, not trained" in line for line in again.log) == 3
    assert again.returned == finished_run.returned
    assert report(again)["history"] == report(finished_run)["history"]
    saved = [torch.load(run.checkpoint, weights_only=True)["state_dict"] for run in (again, finished_run)]
    assert all(torch.equal(saved[0][name], saved[1][name]) for name in saved[1])


def test_nothing_depends_on_the_memory_budget(finished_run, tiny_run, tmp_path):
    """The least budget ranks ml-100k in two blocks of users; teachers, student and table are trained anew."""
    run = tiny_run(tmp_path, store_dir=str(tmp_path / "store"), memory_budget_mb=16)
    assert sum(": trained in" in line for line in run.log) == 3
    assert run.returned == finished_run.returned
    assert report(run)["run"] == report(finished_run)["run"]
    assert report(run)["history"] == report(finished_run)["history"]
    for name, row in rows(finished_run).items():
        assert test_metrics(rows(run)[name]) == test_metrics(row)
        assert rows(run)[name]["valid"] == row["valid"]


def own_store(finished_run: Any, folder: Path) -> Path:
    """A copy of the shared store, to be damaged."""
    import shutil

    return Path(shutil.copytree(finished_run.settings["store_dir"], folder / "store"))


@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_a_damaged_entry_is_named_and_trained_again(finished_run, tiny_run, tmp_path, damage):
    store = own_store(finished_run, tmp_path)
    (entry,) = store.glob("*/EASE-*")
    file = entry / "trajectory.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content[:-100] if damage == "truncated" else content)

    with pytest.raises(CorruptTrajectoryError, match=file.name):
        tiny_run(store_dir=str(store), teacher_rebuild=False)
    run = tiny_run(store_dir=str(store))
    assert any(str(file) in line and "trained again" in line for line in run.log)
    trained = [line for line in run.log if ": trained in" in line]
    assert len(trained) == 1
    assert "EASE" in trained[0]
    assert run.returned == finished_run.returned


def test_other_teacher_settings_are_another_entry(finished_run, tiny_run):
    other = {"BPR": {"epochs": 2, "eval_step": 1}}
    run = tiny_run(teacher_config=other, epochs=3, compare_no_kd=False)
    assert any("BPR: trained in" in line for line in run.log)
    assert any("EASE: taken from the store" in line for line in run.log)


# --- backbones and settings ---


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        ("BPR", {}),
        ("LightGCN", {}),
        ("NeuMF", {"user_batch_size": 472, "student_config": {"mlp_hidden_size": [4]}}),
        ("MultiVAE", {}),
        ("CML", {}),
        ("BPR", {"base_loss_weight": 0.5}),
        ("MultiVAE", {"base_loss_weight": 0.5}),
        ("CML", {"base_loss_weight": 0.5}),
        ("BPR", {"user_sampling": "interaction"}),
        ("BPR", {"rest_sample_num": 50}),
        ("LightGCN", {"rest_sample_num": 50}),
        ("CML", {"rest_sample_num": 50}),
        ("NeuMF", {"rest_sample_num": 50, "user_batch_size": 472, "student_config": {"mlp_hidden_size": [4]}}),
        ("BPR", {"discrepancy_gain": "position", "adkt": "global", "snapshot_spacing": "quality"}),
        ("BPR", {"preset": "authors", "user_batch_size": 128}),
        ("BPR", {"use_consistency": False, "teacher_weights": [1.0, 3.0], "embedding_init_std": 0.01}),
    ],
    ids=str,
)
def test_every_kind_of_student_learns(finished_run, tiny_run, backbone, settings):
    """Two epochs, across a curriculum step."""
    few = {"epochs": 2, "eval_step": 1, "p": 1, "train_batch_size": 16384, "compare_no_kd": False}
    if backbone in ("MultiVAE", "ItemVAE"):
        few["train_batch_size"] = 256
    run = tiny_run(student_backbone=backbone, **{**few, **settings})
    history = report(run)["history"]
    assert [line["epoch"] for line in history] == [0, 1]
    assert all(math.isfinite(line["loss"]) for line in history)
    if settings.get("user_sampling", "user") == "user" and "preset" not in settings:  # the same users each epoch
        assert history[1]["loss"] < history[0]["loss"]
    assert "discrepancy" in history[1]
    assert 0 < rows(run)["HetComp"]["recall@50"] < 1
    state = torch.load(run.checkpoint, weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


def test_a_metric_students_points_do_not_leave_the_unit_ball_for_long(finished_run, tiny_run):
    """A step may lead out of it, the next one starts inside."""
    run = tiny_run(student_backbone="CML", epochs=20, eval_step=10, learning_rate=0.05, compare_no_kd=False)
    state = torch.load(run.checkpoint, weights_only=True)["state_dict"]
    norms = torch.cat([value.norm(dim=1) for name, value in state.items() if "embedding" in name])
    assert float(norms.max()) < 1.0 + 0.05 * math.sqrt(8) + 1e-6


@pytest.mark.parametrize("backbone", ["NeuMF", "MultiVAE"])
def test_a_backbone_that_names_its_sizes_otherwise_can_be_trained_alone(finished_run, tiny_run, backbone):
    alone = {"epochs": 1, "eval_step": 1, "train_batch_size": 512 if backbone == "MultiVAE" else 32768}
    run = tiny_run(student_backbone=backbone, epochs=1, eval_step=1, user_batch_size=472, no_kd_config=alone)
    table = rows(run)
    assert table["NoKD"]["parameters"] == table["HetComp"]["parameters"]


# --- the curriculum ---


def watched(
    monkeypatch: pytest.MonkeyPatch, falling: bool = False
) -> list[tuple[int, torch.Tensor, torch.Tensor, float, bool]]:
    """At each validation: epoch, finished, fine, the patience of RecBole's early stopping, the rounded mean arrived."""
    seen: list[tuple[int, torch.Tensor, torch.Tensor, float, bool]] = []
    validate, before = HetCompTrainer._valid_epoch, HetCompTrainer.before_epoch
    epochs: list[int] = []

    def before_epoch(self: Any, epoch: int) -> None:
        epochs.append(epoch)
        before(self, epoch)

    def valid_epoch(self: Any, *arguments: Any, **keywords: Any) -> Any:
        result = validate(self, *arguments, **keywords)
        arrived = self.state.arrived(self.active)
        seen.append((epochs[-1], self.state.finished.clone(), self.fine.clone(), self.stopping_step, arrived))
        return (-epochs[-1], result[1]) if falling else result

    monkeypatch.setattr(HetCompTrainer, "_valid_epoch", valid_epoch)
    monkeypatch.setattr(HetCompTrainer, "before_epoch", before_epoch)
    return seen


@pytest.mark.parametrize("adkt", ["user", "global"])
def test_who_is_in_the_fine_stage(finished_run, tiny_run, monkeypatch, adkt):
    seen = watched(monkeypatch)
    tiny_run(adkt=adkt, eval_step=1, p=1, compare_no_kd=False, stopping_step=100, epochs=20)
    shares = []
    for _, finished, fine, patience, arrived in seen:
        assert torch.equal(fine, finished if adkt == "user" else torch.full_like(finished, arrived))
        assert math.isinf(patience) == (not (arrived if adkt == "global" else bool(finished.all())))
        shares.append(float(finished[1:].float().mean()))
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares), "no epoch tells the two modes apart"
    if adkt == "user":
        assert shares[-1] == 1
    else:  # the curriculum ends with the switch, and who was behind stays there
        assert seen[-1][4]
        first = next(place for place, line in enumerate(seen) if line[4])
        assert shares[first:] == shares[first : first + 1] * (len(seen) - first)


def test_early_stopping_does_not_count_before_the_curriculum_ends(finished_run, tiny_run, monkeypatch):
    """No validation ever gains, so RecBole would stop after the third."""
    seen = watched(monkeypatch, falling=True)
    run = tiny_run(eval_step=1, stopping_step=1, p=4, epochs=40, compare_no_kd=False, alpha_decay=0.5)
    assert all(math.isinf(patience) == (not bool(finished.all())) for _, finished, _, patience, _ in seen)
    ended = next(epoch for epoch, finished, *_ in seen if bool(finished.all()))
    assert ended > 3
    last = report(run)["history"][-1]["epoch"]
    assert ended <= last <= ended + 2
    assert last < 39


def test_tensorboard_holds_the_curriculum(finished_run):
    folder = finished_run.folder / "log_tensorboard"
    scalars: dict[str, list[Any]] = {}
    for file in folder.glob("*/events.out.tfevents.*"):
        events = EventAccumulator(str(file)).Reload()
        for tag in events.Tags()["scalars"]:
            scalars.setdefault(tag, []).extend(events.Scalars(tag))
    steps = [line for line in report(finished_run)["history"] if "discrepancy" in line]
    for name in ("BPR", "EASE"):
        logged = scalars[f"Curriculum/discrepancy/{name}"]
        assert [event.step for event in logged] == [line["epoch"] for line in steps]
        assert [event.value for event in logged] == pytest.approx([line["discrepancy"][name] for line in steps])
    fine = scalars["Curriculum/fine_share"]
    assert [event.value for event in fine] == pytest.approx([line["fine"] for line in steps])
    assert any(tag.startswith("Curriculum/share_at_snapshot/") for tag in scalars)
    assert "Vaild_score" in scalars  # RecBole's own spelling
    assert {file.parent.name for file in folder.glob("*/*/events.out.tfevents.*")} >= {"BPR", "EASE", "NoKD"}


def test_the_log_tells_each_curriculum_step(finished_run):
    steps = [line for line in finished_run.log if line.startswith("curriculum step")]
    assert len(steps) == sum("discrepancy" in line for line in report(finished_run)["history"])
    for words in ("discrepancy BPR", "EASE", "pairs at each snapshot", "users in the fine stage"):
        assert words in steps[0]


# --- bad input that only the data shows ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"K": 5000}, "K=5000"),
        (
            {"teacher_config": {"BPR": {"epoch": 3}}},
            "teacher_config for BPR names 'epoch', which nothing reads; did you mean 'epochs'",
        ),
        (
            {"eval_args": {"split": {"RS": [0.8, 0.0, 0.2]}, "group_by": "user", "order": "RO", "mode": "full"}},
            "validation",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_shows_before_any_training(finished_run, tiny_run, monkeypatch, settings, words):
    def fail(self: Any, lesson: Any) -> None:
        raise AssertionError(f"{lesson.label} was trained")

    monkeypatch.setattr(TeacherPool, "_train", fail)
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        tiny_run(**settings)


def test_a_full_disk_shows_before_any_training(finished_run, tiny_run, monkeypatch, tmp_path):
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1))
    with pytest.raises(OSError, match="store_dir needs about"):
        tiny_run(store_dir=str(tmp_path / "store"))


def test_short_histories_large_batches_and_unseen_items_are_told(finished_run, tiny_run):
    run = tiny_run(K=1000, user_batch_size=2000, epochs=1, eval_step=1, compare_no_kd=False)
    assert any("fewer than K/10 = 100 training items" in line for line in run.log)
    assert any("user_batch_size=2000 is more than the 943 users" in line for line in run.log)
    assert any("validation items occur in no training interaction" in line for line in run.log)


def test_a_teacher_that_is_never_validated_is_named(finished_run, tiny_run):
    """Without a validation there is no snapshot."""
    with pytest.raises(ValueError, match="eval_step"):
        tiny_run(teacher_config={"BPR": {"epochs": 1, "eval_step": 0}}, compare_no_kd=False)
