"""A RecBole model as a teacher: trained under its own RecBole trainer, recorded at each validation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import recbole.data.utils
import torch
from recbole.config import Config
from recbole.sampler import RepeatableSampler, Sampler
from recbole.utils import ModelType, get_trainer
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.metrics.lists import evaluating_lists
from recbole_hetcomp.recbole_bridge.checkpoint import plain_numbers
from recbole_hetcomp.recbole_bridge.own_data import made_model
from recbole_hetcomp.recbole_bridge.training_rules import following_rules
from recbole_hetcomp.teachers.planned import PlannedTeacher
from recbole_hetcomp.teachers.recorder import SnapshotRecorder
from recbole_hetcomp.trajectories import KeptWeights, Trajectory


class RecBoleTeacher:
    """Trains a RecBole model as :class:`~recbole_hetcomp.teachers.protocol.Teacher` wants it.

    Args:
        planned: the model, with its Config.
        train: RecBole's training Dataset.
        valid_data: RecBole's validation loader.
        show_progress: whether to show a progress bar, in epochs.
        tensorboard_dir: folder below which the model logs its validations.

    Attributes:
        weights: those of the best validation, once it was taught and where they are to be kept.
    """

    def __init__(
        self,
        planned: PlannedTeacher,
        train: Any,
        valid_data: Any,
        show_progress: bool = False,
        tensorboard_dir: str | None = None,
    ) -> None:
        self.planned, self.config = planned, planned.config
        self.train = train
        self.valid_data = valid_data
        self.show_progress = show_progress
        self.tensorboard_dir = tensorboard_dir
        self.weights: KeptWeights | None = None

    def teach(self, interactions: Interactions, recorder: SnapshotRecorder) -> Trajectory:
        """Train the model and record it."""
        config, title, metric = self.config, self.planned.title, self.config["valid_metric"]
        model, loader = made_model(config, self.train)
        counted = plain_numbers(model)
        if self.planned.start is not None:
            self.planned.start.begin(model, self.train)
        trainer = evaluating_lists(following_rules(get_trainer(config["MODEL_TYPE"], config["model"])))(config, model)
        self._own_tensorboard(trainer)
        loader = loader or self._train_loader()
        trainer.recorder = recorder
        with tqdm(
            total=trainer.epochs,
            desc=title,
            unit="epoch",
            ncols=100,
            disable=None if self.show_progress else True,
            leave=False,
        ) as bar:

            def on_validation(epoch: int, score: float) -> None:
                recorder.record(model, epoch, score)
                if recorder.best == score:
                    self._keep(model, counted)
                bar.update(epoch + 1 - bar.n)
                bar.set_postfix_str(f"{metric} {score:.4f}")
                logging.getLogger().info(f"{title}: epoch {epoch}, {metric} {score:.6f}")

            _, result = trainer.fit(
                loader,
                self.valid_data,
                verbose=False,
                saved=False,
                show_progress=False,
                callback_fn=on_validation,
            )
        return recorder.trajectory(
            model=config["model"],
            parameters=stored_numbers(model),
            valid={key: float(value) for key, value in (result or {}).items()},
        )

    def _keep(self, model: Any, fresh: Mapping[str, float]) -> None:
        """Keep the weights as they are, and the numbers that training has counted up."""
        if not (self.planned.keep and self.planned.keeps_weights):
            return
        counts = {name: value for name, value in plain_numbers(model).items() if value != fresh.get(name)}
        state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        self.weights = KeptWeights(state, counts)

    def _train_loader(self) -> Any:
        """RecBole's training loader for the model, on the run's own training split."""
        train, config = self.train.copy(self.train.inter_feat), self.config
        train.field2type, train.field2source = dict(train.field2type), dict(train.field2source)
        train.field2seqlen = dict(train.field2seqlen)
        loader = recbole.data.utils.get_dataloader(config, "train")  # looked up now: it is wrapped
        return loader(config, train, _negative_sampler(config, train), config["shuffle"])

    def _own_tensorboard(self, trainer: Any) -> None:
        """Give a companion its own log folder: RecBole names the folder after the process's log file."""
        if self.tensorboard_dir is not None and hasattr(trainer, "tensorboard"):
            trainer.tensorboard.close()
            trainer.tensorboard = SummaryWriter(str(Path(self.tensorboard_dir) / self.planned.label))


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
