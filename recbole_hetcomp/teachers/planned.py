"""The models beside a run's student, before any of them is trained: what each is, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from recbole.config import Config
from recbole.utils import ModelType

from recbole_hetcomp.extras import require
from recbole_hetcomp.metrics.lists import needs_lists_only
from recbole_hetcomp.recbole_bridge.config import no_kd_config, teacher_config
from recbole_hetcomp.recbole_bridge.identity import training_identity
from recbole_hetcomp.recbole_bridge.training_rules import shorten
from recbole_hetcomp.recbole_bridge.warm_start import Yesterday
from recbole_hetcomp.settings import SERVED_LENGTH, HetCompSettings
from recbole_hetcomp.teachers.contribution import check_judged
from recbole_hetcomp.teachers.imported_teacher import ImportedTeacher
from recbole_hetcomp.teachers.protocol import OutsideTeacher, outside_teachers
from recbole_hetcomp.teachers.warm_start import TeacherStart, found_start, needed_snapshots


@dataclass(frozen=True)
class PlannedTeacher:
    """A model to be trained and recorded.

    Attributes:
        label: its name in logs, bars, the store and the table.
        title: what a progress bar calls it.
        config: its RecBole Config; the run's, for a teacher from outside.
        snapshots: E, snapshots to keep.
        spacing: how they are spaced.
        length: K'.
        served_length: length of its test-time list.
        outside: the teacher from outside of RecBole, or None.
        start: what it goes on from; None: it is trained from scratch.
        from_scratch: why so, where a warm start was asked for.
        keep: whether its weights are kept.
    """

    label: str
    title: str
    config: Config
    snapshots: int
    spacing: str
    length: int
    served_length: int
    outside: OutsideTeacher | ImportedTeacher | None = None
    start: TeacherStart | None = None
    from_scratch: str = ""
    keep: bool = False

    @property
    def keeps_weights(self) -> bool:
        """Whether it is of a kind whose weights can be kept."""
        return self.outside is None and self.config["MODEL_TYPE"] == ModelType.GENERAL

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that its store entry depends on besides the data."""
        own = training_identity(self.config) if self.outside is None else self.outside.identity(self.config)
        return {
            **own,
            **({"warm_start": self.start.identity} if self.start else {}),
            "snapshots": self.snapshots,
            "snapshot_spacing": self.spacing,
            "K_prime": self.length,
            "served_length": self.served_length,
            "device": torch.device(self.config["device"]).type,
        }


def check_evaluation(config: Config, settings: HetCompSettings) -> None:
    """Refuse an evaluation in which the rows of a run's table could not be computed alike.

    Teachers, ensemble and the student alone are known by their top lists over all items, which hold neither sampled
    candidates nor what lies behind them.

    Raises:
        ValueError: names the setting, its value and what is allowed.
        MissingPackageError: a package is not installed that a setting needs.
    """
    arguments = config["eval_args"]
    for phase, mode in arguments["mode"].items():
        if mode != "full":
            raise ValueError(
                f"eval_args.mode={mode!r} for {phase} is not allowed: full; teachers are known by their top lists over "
                "all items, and sampled candidates are not all in them"
            )
    if not needs_lists_only(config):
        raise ValueError(
            f"metrics={config['metrics']} is not allowed: they need more than top lists, and of the teachers these are "
            "all there is"
        )
    if config["repeatable"]:
        raise ValueError("repeatable=True is not allowed: a recommended item is one that the user has not had")
    if len(settings.teachers) > 1 and (settings.fit_weights or settings.leave_out_harmful):
        check_judged(config, settings.teachers)
    if settings.fusion == "learned":
        require("fusion='learned'", "lightgbm")
    longest = max(config["topk"])
    if 2 * longest > settings.K_prime:  # validation items are taken out of the stored lists
        raise ValueError(
            f"topk={config['topk']} is too long for the teachers' stored lists of K_prime={settings.K_prime} items, "
            f"half of which may be validation items: at most {settings.K_prime // 2}, or K_prime={2 * longest}"
        )
    if not config["benchmark_filename"]:
        _check_parts(arguments["split"] or {})


def _check_parts(split: Mapping[str, Any]) -> None:
    """Refuse a split without a validation or a test part."""
    shares = split.get("RS")
    if shares is not None and (len(shares) < 3 or min(shares) <= 0):
        raise ValueError(
            f"eval_args.split.RS={list(shares)} is not allowed: three shares above 0, for training, validation and test"
        )
    if split.get("LS", "valid_and_test") != "valid_and_test":
        raise ValueError(f"eval_args.split.LS={split['LS']!r} is not allowed: valid_and_test; both parts are needed")


def served_length(config: Config) -> int:
    """S, length of the lists for test time that are kept of each model."""
    return max(SERVED_LENGTH, *config["topk"])


def planned_teachers(config: Config, settings: HetCompSettings) -> list[PlannedTeacher]:
    """The run's teachers. Builds every Config, so that bad settings show before any training.

    Raises:
        ValueError: a teacher cannot be imported, or a setting of one is not allowed.
    """
    outside = outside_teachers(settings)
    yesterday = None if settings.warm_start is None else Yesterday.read(settings.warm_start, settings)
    return [
        _planned(name, f"teacher {number}/{len(settings.teachers)} {name}", config, settings, outside, yesterday)
        for number, name in enumerate(settings.teachers, start=1)
    ]


def _planned(
    name: str,
    title: str,
    config: Config,
    settings: HetCompSettings,
    outside: Mapping[str, OutsideTeacher | ImportedTeacher],
    yesterday: Yesterday | None,
) -> PlannedTeacher:
    own = config if name in outside else teacher_config(config, settings, name)
    start: TeacherStart | str = ""
    if yesterday is not None:
        start = "it is none of RecBole's" if name in outside else found_start(name, own, yesterday, settings)
    warm = start if isinstance(start, TeacherStart) else None
    if warm is not None:
        shorten(own, settings.teacher_config.get(name, {}), settings.warm_start_teacher_epochs)
    return PlannedTeacher(
        label=name,
        title=title,
        config=own,
        snapshots=settings.snapshots if warm is None else needed_snapshots(settings),
        spacing=settings.snapshot_spacing,
        length=settings.K_prime,
        served_length=served_length(config),
        outside=outside.get(name),
        start=warm,
        from_scratch="" if isinstance(start, TeacherStart) else start,
        keep=settings.keep_teachers,
    )


def planned_student_alone(config: Config, settings: HetCompSettings) -> PlannedTeacher:
    """The student's backbone, trained alone."""
    return PlannedTeacher(
        label="NoKD",
        title=f"student alone ({settings.student_backbone})",
        config=no_kd_config(config, settings),
        snapshots=1,
        spacing="even",
        length=1,
        served_length=served_length(config),
    )
