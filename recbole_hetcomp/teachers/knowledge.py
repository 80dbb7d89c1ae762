"""What a student learns from: the teachers' trajectories, their ensemble, and the student trained alone beside them."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from torch import Tensor

from recbole_hetcomp.core import taught_unobserved
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.files import free_bytes
from recbole_hetcomp.lesson_settings import Consensus
from recbole_hetcomp.recbole_bridge.identity import run_key
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.teachers.contribution import Panel
from recbole_hetcomp.teachers.estimate import plan_in_words
from recbole_hetcomp.teachers.fitting import fit_weights
from recbole_hetcomp.teachers.fusion import Fuse, ensemble_lists, fuse_of
from recbole_hetcomp.teachers.imported_ranking import ListsTrainer
from recbole_hetcomp.teachers.learned_fusion import check_learnable
from recbole_hetcomp.teachers.planned import (
    PlannedTeacher,
    planned_student_alone,
    planned_teachers,
    served_length,
)
from recbole_hetcomp.teachers.pool import TeacherPool
from recbole_hetcomp.trajectories import MappedTensors, Trajectory, TrajectoryStore, item_dtype, rank_dtype

FAR_BELOW = 0.7  # of the best teacher's validation score
DOMINANT_SHARE = 0.8  # of the teachers' weight, above which an ensemble is hardly one


@dataclass(frozen=True)
class Knowledge:
    """All that is known before the student trains.

    Attributes:
        data: the interactions.
        run: short name of the run, the same whenever the same settings meet the same data.
        teachers: name and trajectory of each teacher, in the order of the settings.
        consensus: how the teachers' lists become one, their weights decided.
        ensemble: the consensus of the final snapshots over the items that any teacher lists, int32 [U, L]; L is 0 where
            there are no teachers.
        no_kd: the student trained alone, or None.
        validated: lists by which the ensemble is validated where its weights were fitted to validation, of no user that
            they were fitted to, int32 [U, L]; None: the ensemble's.
        fuse: what makes the teachers' lists one, for the ensemble and for what is taught.
    """

    data: Interactions
    run: str
    teachers: tuple[tuple[str, Trajectory], ...]
    consensus: Consensus
    ensemble: Tensor
    no_kd: Trajectory | None
    validated: Tensor | None = None
    fuse: Fuse = taught_unobserved

    @property
    def validated_ensemble(self) -> Tensor:
        """The lists by which the ensemble is validated, int32 [U, L]."""
        return self.ensemble if self.validated is None else self.validated

    @property
    def entries(self) -> dict[str, str]:
        """The store's entry of each trained teacher, ``fingerprint/name-key``, by the teacher's name."""
        files = {name: trajectory.file for name, trajectory in self.teachers}
        return {name: "/".join(file.parent.parts[-2:]) for name, file in files.items() if file is not None}

    @cached_property
    def trajectories(self) -> Sequence[Tensor]:
        """π of each teacher, int16 or int32 [E_m, U, K'_m], mapped when asked for."""
        return MappedTensors(trajectory for _, trajectory in self.teachers)

    @cached_property
    def observed_ranks(self) -> Sequence[Tensor]:
        """ρ of each teacher, int16 or int32 [E_m, nnz], mapped when asked for."""
        return MappedTensors((trajectory for _, trajectory in self.teachers), "observed_ranks")

    @property
    def snapshots(self) -> list[int]:
        """E_m of each teacher."""
        return [trajectory.unobserved.shape[0] for _, trajectory in self.teachers]


def gather_knowledge(
    config: Config,
    settings: HetCompSettings,
    train_data: Any,
    valid_data: Any,
    with_no_kd: bool,
    tensorboard_dir: str | None = None,
    with_teachers: bool = True,
) -> Knowledge:
    """Train the run's teachers, or take them from the store, and form their ensemble.

    Everything that can be wrong with settings, data or disk is checked before the first model trains.

    Args:
        config: the run's Config.
        settings: the run's settings.
        train_data: RecBole's training loader.
        valid_data: RecBole's validation loader.
        with_no_kd: whether the student is also trained alone.
        tensorboard_dir: folder below which each model logs its validations.
        with_teachers: False where a student learns alone and only the data are wanted.

    Raises:
        ValueError: the settings do not fit the data.
        OSError: the store's disk is too full.
    """
    if not valid_data:  # none, or one without users
        raise ValueError("distillation needs a validation split: eval_args leaves none")
    data = Interactions.from_datasets(train_data._dataset, valid_data._dataset)
    settings.check_catalogue(data.n_items - 1)
    planned = planned_teachers(config, settings) if with_teachers else []
    if settings.fusion == "learned" and len(planned) > 1:
        check_learnable(valid_data)
    for teacher in planned:
        if teacher.outside is not None:
            teacher.outside.check_data(data)
    alone = planned_student_alone(config, settings) if with_no_kd else None
    store = TrajectoryStore(Path(settings.store_dir))
    _report_data(data, settings, valid_data._dataset)
    models = [*planned, *([alone] if alone else [])]
    to_train = [one for one in models if not store.path(data.fingerprint, one.label, one.identity).exists()]
    _check_disk(store.root, data, to_train)
    if with_teachers:
        words = plan_in_words(config["model"], settings.epochs, planned, alone, to_train, store, data)
        logging.getLogger().info(words)
        _report_warm_start(planned)
    pool = TeacherPool(
        data,
        train_data._dataset,
        valid_data,
        store,
        rebuild=settings.teacher_rebuild,
        show_progress=bool(config["show_progress"]),
        tensorboard_dir=tensorboard_dir,
    )
    teachers = tuple((teacher.label, pool.obtain(teacher)) for teacher in planned)
    formed = None
    if teachers:
        scores = {name: trajectory.scores[-1] for name, trajectory in teachers}
        _report_far_below(config["valid_metric"], scores, bool(config["valid_metric_bigger"]))
        formed = form_ensemble(config, settings, data, teachers, train_data._dataset, valid_data)
        _report_weights([name for name, _ in formed.teachers], formed.consensus)
    no_kd = pool.obtain(alone) if alone is not None else None
    return Knowledge(
        data=data,
        run=run_name(config, data, models),
        teachers=teachers if formed is None else formed.teachers,
        consensus=settings if formed is None else formed.consensus,
        ensemble=torch.empty(data.n_users, 0, dtype=torch.int32) if formed is None else formed.lists,
        no_kd=no_kd,
        validated=None if formed is None else formed.validated,
        fuse=taught_unobserved if formed is None else formed.fuse,
    )


def run_name(config: Config, data: Interactions, models: Sequence[PlannedTeacher]) -> str:
    """Short name of a run.

    Args:
        config: the run's Config.
        data: the interactions.
        models: its teachers, then the student alone where it is compared.
    """
    return f"{config['model']}-{run_key(config, data.fingerprint, [model.identity for model in models])}"


@dataclass(frozen=True)
class FormedEnsemble:
    """Teachers that have become one.

    Attributes:
        teachers: name and trajectory of each that is in it.
        consensus: how their lists become one, their weights decided.
        lists: of the final snapshots, int32 [U, L].
        validated: as of :class:`Knowledge`.
        fuse: likewise.
    """

    teachers: tuple[tuple[str, Trajectory], ...]
    consensus: Consensus
    lists: Tensor
    validated: Tensor | None
    fuse: Fuse


def form_ensemble(
    config: Config,
    settings: HetCompSettings,
    data: Interactions,
    teachers: Sequence[tuple[str, Trajectory]],
    train: Any,
    valid_data: Any,
) -> FormedEnsemble:
    """A run's ensemble of teachers that are there: harmful ones left out and weights fitted where settings say so.

    Args:
        config: the run's Config.
        settings: the run's settings.
        data: the interactions.
        teachers: name and trajectory of each, in the order of the settings.
        train: RecBole's training Dataset.
        valid_data: RecBole's validation loader.
    """
    panel, validated = Panel(config, settings, data, teachers, train, valid_data), None
    if settings.leave_out_harmful:
        panel = panel.without_harmful()
    if settings.fit_weights and len(panel.teachers) > 1:
        fitted = fit_weights(panel)
        panel, validated = panel.weighed(fitted.weights), fitted.validated
    kept, consensus = panel.teachers_and_consensus
    trajectories, budget = [trajectory for _, trajectory in kept], settings.block_elements
    fuse = fuse_of(data, trajectories, consensus, valid_data, config["seed"], budget)
    how = data, trajectories, consensus, served_length(config), budget
    lists = ensemble_lists(*how, fuse)
    if fuse is not taught_unobserved:
        _report_learned(config, train, valid_data, lists, ensemble_lists(*how))
    return FormedEnsemble(kept, consensus, lists, validated, fuse)


def _report_far_below(metric: str, scores: Mapping[str, float], bigger: bool) -> None:
    """Warn of teachers whose validation is far below the best one's: their settings do not suit the data."""
    if not bigger or len(scores) < 2:
        return
    best = max(scores, key=lambda name: scores[name])
    for name, score in scores.items():
        if score < FAR_BELOW * scores[best]:
            logging.getLogger().warning(
                f"teacher {name} is far below {best}: validation {metric} {score:.4f} against {scores[best]:.4f}. Its "
                f"settings hardly suit these data: tune it (hetcomp tune --model {name}), or leave it out"
            )


def _report_learned(config: Config, train: Any, valid_data: Any, learned: Tensor, consensus: Tensor) -> None:
    """Say what a learned fusion gives to users that it was not fitted to, beside the consensus of the same teachers."""
    values = [
        ListsTrainer.judging(config, train, lists).evaluate(valid_data, load_best_model=False)
        for lists in (learned, consensus)
    ]
    mine, plain = (value[config["valid_metric"].lower()] for value in values)
    logger, pays = logging.getLogger(), mine >= plain if config["valid_metric_bigger"] else mine <= plain
    said = f"{config['valid_metric']} {mine:.4f} of users that it was not fitted to, {plain:.4f} of the consensus"
    if pays:
        logger.info(f"learned fusion: {said}")
    else:
        logger.warning(f"the learned fusion does not pay ({said}): fusion=consensus is better here")


def _report_weights(names: Sequence[str], consensus: Consensus) -> None:
    """Say how much each teacher counts, where they do not all count the same."""
    weights = consensus.teacher_weights
    if weights is None:
        return
    logger = logging.getLogger()
    named = (f"{name} {weight:.2f}" for name, weight in zip(names, weights))
    logger.info(f"teachers' weights: {', '.join(named)}")
    if len(weights) > 1 and max(weights) > DOMINANT_SHARE * sum(weights):
        logger.warning(
            f"one teacher has more than {DOMINANT_SHARE:.0%} of the weight, the ensemble is hardly one; "
            "lower quality_weighting, give teacher_weights, or leave the weak teachers out"
        )


def _report_warm_start(planned: Sequence[PlannedTeacher]) -> None:
    """Say which teachers go on from yesterday's weights, and why others do not."""
    logger = logging.getLogger()
    for one in planned:
        if one.start is not None:
            logger.info(f"{one.title}: goes on from yesterday's weights, {one.config['epochs']} epochs at most")
        elif one.from_scratch:
            logger.warning(f"{one.title}: trained from scratch, {one.from_scratch}")


def _report_data(data: Interactions, settings: HetCompSettings, valid: Any) -> None:
    """Say what about the data the user should know."""
    logger = logging.getLogger()
    lengths = data.observed.lengths()[data.active]
    short = int((lengths < settings.K_observed).sum())
    if short:
        logger.warning(
            f"{short} of {len(lengths)} users have fewer than K/10 = {settings.K_observed} training items: "
            "their observed list is as long as their history"
        )
    unseen = torch.as_tensor(valid.inter_feat[valid.iid_field]).unique()
    unseen = unseen[data.item_counts[unseen] == 0]
    if len(unseen):
        logger.warning(
            f"{len(unseen)} validation items occur in no training interaction: models that learn from ids alone "
            "cannot rank them; filter with item_inter_num_interval if that is not wanted"
        )
    if settings.user_sampling == "user" and settings.user_batch_size > len(lengths):
        logger.warning(
            f"user_batch_size={settings.user_batch_size} is more than the {len(lengths)} users with training items: "
            f"every step sees all of them; at most {len(lengths)} is useful"
        )


def _check_disk(root: Path, data: Interactions, to_train: Sequence[PlannedTeacher]) -> None:
    """Raise OSError unless what the store will keep fits on its disk, with the validations of a model that trains.

    Of these as many are counted as are kept; where early stopping comes late there may be more.
    """
    per_item = item_dtype(data.n_items).itemsize
    per_rank = rank_dtype(int(data.observed.lengths().max())).itemsize
    ranks = per_rank * data.observed.values.shape[0]
    snapshots = [one.snapshots * (per_item * data.n_users * one.length + ranks) for one in to_train]
    served = sum(per_item * data.n_users * one.served_length for one in to_train)
    needed = served + sum(snapshots) + max(snapshots, default=0)
    free = free_bytes(root)
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"store_dir needs about {needed / 2**20:.0f} MiB and has {free / 2**20:.0f} MiB free; "
            "free some, set store_dir elsewhere, or lower snapshots or K_prime",
            str(root),
        )
