"""Trains a run's models besides the student under RecBole's own trainers, or takes them from the store."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import recbole.data.utils
import torch
from filelock import FileLock
from recbole.config import Config
from recbole.sampler import RepeatableSampler, Sampler
from recbole.utils import ModelType, get_model, get_trainer, init_seed
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.metrics.lists import evaluating_lists
from recbole_hetcomp.recbole_bridge.config import memory_for_scores, no_kd_config, teacher_config
from recbole_hetcomp.recbole_bridge.identity import training_identity
from recbole_hetcomp.settings import SERVED_LENGTH, HetCompSettings
from recbole_hetcomp.teachers.recorder import SnapshotRecorder
from recbole_hetcomp.trajectories import CorruptTrajectoryError, SnapshotSpool, Trajectory, TrajectoryStore, item_dtype


@dataclass(frozen=True)
class Lesson:
    """A model to be trained and recorded.

    Attributes:
        label: its name in logs, bars, the store and the table.
        title: what a progress bar calls it.
        config: its RecBole Config.
        snapshots: E, snapshots to keep.
        spacing: how they are spaced.
        length: K'.
        served_length: length of its test-time list.
    """

    label: str
    title: str
    config: Config
    snapshots: int
    spacing: str
    length: int
    served_length: int

    @property
    def identity(self) -> dict[str, Any]:
        """All that its store entry depends on besides the data."""
        return {
            **training_identity(self.config),
            "snapshots": self.snapshots,
            "snapshot_spacing": self.spacing,
            "K_prime": self.length,
            "served_length": self.served_length,
            "device": torch.device(self.config["device"]).type,
        }


def teacher_lessons(config: Config, settings: HetCompSettings) -> list[Lesson]:
    """The run's teachers. Builds every Config, so that bad settings show before any training."""
    total = len(settings.teachers)
    return [
        Lesson(
            label=name,
            title=f"teacher {number}/{total} {name}",
            config=teacher_config(config, settings, name),
            snapshots=settings.snapshots,
            spacing=settings.snapshot_spacing,
            length=settings.K_prime,
            served_length=max(SERVED_LENGTH, *config["topk"]),
        )
        for number, name in enumerate(settings.teachers, start=1)
    ]


def no_kd_lesson(config: Config, settings: HetCompSettings) -> Lesson:
    """The student's backbone, trained alone."""
    return Lesson(
        label="NoKD",
        title=f"student alone ({settings.student_backbone})",
        config=no_kd_config(config, settings),
        snapshots=1,
        spacing="even",
        length=1,
        served_length=max(SERVED_LENGTH, *config["topk"]),
    )


class TeacherPool:
    """Obtains trajectories: from the store where they are, by training where they are not.

    Args:
        data: the interactions.
        train: RecBole's training Dataset.
        valid_data: RecBole's validation loader.
        store: the trajectory store.
        rebuild: whether a damaged entry is trained again.
        show_progress: whether to show progress bars.
        tensorboard_dir: folder below which each model logs its validations.

    Attributes:
        trained: labels of the models that were trained here.
    """

    def __init__(
        self,
        data: Interactions,
        train: Any,
        valid_data: Any,
        store: TrajectoryStore,
        rebuild: bool = True,
        show_progress: bool = False,
        tensorboard_dir: str | None = None,
    ) -> None:
        self.data = data
        self.train = train
        self.valid_data = valid_data
        self.store = store
        self.rebuild = rebuild
        self.show_progress = show_progress
        self.tensorboard_dir = tensorboard_dir
        self.logger = logging.getLogger()
        self.trained: list[str] = []

    def obtain(self, lesson: Lesson) -> Trajectory:
        """The trajectory of a lesson's model.

        Of several processes that want one entry, one trains it, and the others wait for it.

        Raises:
            CorruptTrajectoryError: its store entry is damaged and may not be rebuilt.
        """
        with self._turn(lesson):
            return self._read_or_train(lesson)

    def _turn(self, lesson: Lesson) -> AbstractContextManager:
        """A lock on an entry; the system frees it when its holder ends, however it ends. None on a read-only store."""
        folder = self.store.root / "locks"
        entry = self.store.path(self.data.fingerprint, lesson.label, lesson.identity)
        if entry.exists() and not os.access(self.store.root, os.W_OK):
            return nullcontext()
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(str(folder / f"{entry.parent.name}-{entry.name}.lock"))

    def _read_or_train(self, lesson: Lesson) -> Trajectory:
        fingerprint, label, identity = self.data.fingerprint, lesson.label, lesson.identity
        try:
            stored = self.store.read(fingerprint, label, identity)
        except CorruptTrajectoryError as error:
            if not self.rebuild:
                raise
            self.logger.warning(f"{lesson.title}: {error}; it is trained again")
            self.store.remove(fingerprint, label, identity)
            stored = None
        if stored is not None:
            place = self.store.path(fingerprint, label, identity)
            self.logger.info(f"{lesson.title}: taken from the store, not trained ({place})")
            return stored
        self.store.write(fingerprint, label, identity, self._train(lesson))
        self.trained.append(label)
        written = self.store.read(fingerprint, label, identity)
        assert written is not None
        return written

    def _train(self, lesson: Lesson) -> Trajectory:
        config, started = lesson.config, time.perf_counter()
        init_seed(config["seed"], config["reproducibility"])
        model = get_model(config["model"])(config, self.train).to(config["device"])
        trainer = evaluating_lists(get_trainer(config["MODEL_TYPE"], config["model"]))(config, model)
        self._own_tensorboard(trainer, lesson)
        loader = self._train_loader(config)
        bigger = config["valid_metric_bigger"]
        with (
            SnapshotSpool(self.store.root / "spool") as spool,
            _bar(lesson, trainer.epochs, self.show_progress) as bar,
        ):
            recorder = SnapshotRecorder(
                self.data, spool, lesson.length, lesson.served_length, bigger, memory_for_scores(config)
            )
            trainer.recorder = recorder

            def on_validation(epoch: int, score: float) -> None:
                recorder.record(model, epoch, score)
                bar.update(epoch + 1 - bar.n)
                bar.set_postfix_str(f"{config['valid_metric']} {score:.4f}")
                self.logger.info(f"{lesson.title}: epoch {epoch}, {config['valid_metric']} {score:.6f}")

            best, result = trainer.fit(
                loader,
                self.valid_data,
                verbose=False,
                saved=False,
                show_progress=False,
                callback_fn=on_validation,
            )
            unobserved, ranks, epochs, scores = spool.build(lesson.snapshots, lesson.spacing, bigger)
        seconds = time.perf_counter() - started
        self.logger.info(
            f"{lesson.title}: trained in {seconds:.1f} s, best {config['valid_metric']} {best:.6f}, "
            f"snapshots at epochs {', '.join(map(str, epochs))}"
        )
        return Trajectory(
            unobserved=unobserved,
            observed_ranks=ranks,
            served=recorder.served.to(item_dtype(self.data.n_items)),
            epochs=tuple(epochs),
            scores=tuple(scores),
            settings=lesson.identity,
            info={
                "model": config["model"],
                "parameters": stored_numbers(model),
                "seconds": round(seconds, 3),
                "valid": {key: float(value) for key, value in (result or {}).items()},
            },
        )

    def _train_loader(self, config: Config) -> Any:
        """RecBole's training loader for a model, on the run's own training split."""
        train = self.train.copy(self.train.inter_feat)
        train.field2type, train.field2source = dict(train.field2type), dict(train.field2source)
        train.field2seqlen = dict(train.field2seqlen)
        loader = recbole.data.utils.get_dataloader(config, "train")  # looked up now: the registry wraps it
        return loader(config, train, _negative_sampler(config, train), config["shuffle"])

    def _own_tensorboard(self, trainer: Any, lesson: Lesson) -> None:
        """Give a companion its own log folder: RecBole names the folder after the process's log file."""
        if self.tensorboard_dir is not None and hasattr(trainer, "tensorboard"):
            trainer.tensorboard.close()
            trainer.tensorboard = SummaryWriter(str(Path(self.tensorboard_dir) / lesson.label))


def stored_numbers(model: Any) -> int:
    """Numbers that a model has learnt: its trainable parameters, or what a one-step model has fitted."""
    if model.type != ModelType.TRADITIONAL:
        return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    fitted = {key: value for key, value in model.other_parameter().items() if key != "interaction_matrix"}
    return sum(_count_numbers(value) for value in fitted.values())


def _count_numbers(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel()
    return int(getattr(value, "nnz", None) or np.size(value))


def _negative_sampler(config: Config, train: Any) -> Any:
    """RecBole's negative sampler over the training split, or None where a model wants none."""
    sampling = config["train_neg_sample_args"]
    if sampling["distribution"] == "none":
        return None
    if config["repeatable"]:
        return RepeatableSampler(["train"], train, sampling["distribution"], sampling["alpha"]).set_phase("train")
    return Sampler(["train"], [train], sampling["distribution"], sampling["alpha"]).set_phase("train")


@contextmanager
def _bar(lesson: Lesson, epochs: int, shown: bool) -> Iterator[tqdm]:
    """A progress bar in epochs, which names the model and the time left."""
    with tqdm(total=epochs, desc=lesson.title, unit="epoch", ncols=100, disable=not shown, leave=False) as bar:
        yield bar
