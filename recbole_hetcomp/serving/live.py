"""The ensemble as it would be served: every teacher scores all items for a user, and their lists are merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import attrs
import torch
from recbole.config import Config
from recbole.utils import ModelType
from torch import Tensor

from recbole_hetcomp.core import Ragged, taught_unobserved
from recbole_hetcomp.lesson_settings import Consensus
from recbole_hetcomp.recbole_bridge.config import memory_for_scores
from recbole_hetcomp.recbole_bridge.own_data import made_model
from recbole_hetcomp.serving.costs import Serve, served_by, stored_bytes
from recbole_hetcomp.teachers.planned import PlannedTeacher
from recbole_hetcomp.teachers.recbole_teacher import stored_numbers
from recbole_hetcomp.trajectories import Trajectory


@dataclass(frozen=True)
class LiveTeacher:
    """A teacher at work.

    Attributes:
        name: its name.
        serve: its lists of K' items besides those that a user has.
        parameters: numbers that it has learnt.
        bytes: what it must keep to be used.
        model: the model; None for one that is known by its lists alone.
    """

    name: str
    serve: Serve
    parameters: int
    bytes: int
    model: Any = None

    def top(self, n_items: int, history: Ragged, k: int, budget: int) -> Serve:
        """The same teacher alone, asked for k items."""
        if self.model is None:
            return lambda users: self.serve(users)[:, :k]
        return served_by(self.model, n_items, history, k, budget)


def untrained_model(config: Config, train_data: Any) -> Any:
    """A model of a teacher's kind, sizes and data: the store keeps lists, and no time depends on weights.

    Args:
        config: the teacher's Config.
        train_data: RecBole's training loader; a model that is fitted in one step sees all of it.
    """
    model, _ = made_model(config, train_data._dataset)
    if model.type == ModelType.TRADITIONAL:  # its size is in what it has fitted
        for batch in train_data:
            model.calculate_loss(batch.to(config["device"]))
    model.eval()
    return model


def live_teacher(
    planned: PlannedTeacher, trajectory: Trajectory | None, train_data: Any, n_items: int, history: Ragged
) -> LiveTeacher:
    """A run's teacher at work; one from outside of RecBole is a look-up in its stored lists.

    Args:
        planned: the teacher.
        trajectory: its entry in the store; None where there is none.
        train_data: RecBole's training loader.
        n_items: I, with the padding item.
        history: each user's items that are no candidates.

    Raises:
        ValueError: it is from outside, and the store does not have it.
    """
    if planned.outside is None:
        model = untrained_model(planned.config, train_data)
        length = min(planned.length, n_items - 1)
        serve = served_by(model, n_items, history, length, memory_for_scores(planned.config))
        return LiveTeacher(planned.label, serve, stored_numbers(model), stored_bytes(model), model)
    if trajectory is None:
        raise ValueError(
            f"teacher {planned.label!r} is known by its lists alone, and the store has none of these data: "
            "hetcomp teachers puts them there"
        )
    lists = trajectory.unobserved[-1].clone()  # in memory, as a server has it
    parameters, size = int(trajectory.info.get("parameters", 0)), lists.numel() * lists.element_size()
    return LiveTeacher(planned.label, lambda users: lists[users], parameters, size)


def served_by_all(teachers: Sequence[LiveTeacher], consensus: Consensus, k: int) -> Serve:
    """The teachers' ensemble at work: all are asked, and their lists become one by the consensus (method section 2).

    A server has one snapshot of each teacher, the last. Steadiness over several (``consistency_window``) would need a
    model for each of them: it is left out, so that a real one is no faster than this. A learned
    fusion is timed as the consensus, which is less work.

    Args:
        teachers: in the order of the consensus's weights; those of weight 0 are not asked.
        consensus: how lists become one.
        k: items of a list.
    """
    weights = consensus.weights(len(teachers))
    asked = [(teacher, weight) for teacher, weight in zip(teachers, weights) if weight > 0]
    own: Any = consensus
    fusion = "consensus" if consensus.fusion == "learned" else consensus.fusion
    one_snapshot = attrs.evolve(
        own, teacher_weights=tuple(weight for _, weight in asked), consistency_window=0, fusion=fusion
    )

    def serve(users: Tensor) -> Tensor:
        lists = [teacher.serve(users)[None] for teacher, _ in asked]  # [1, B, K'] each
        last = torch.zeros(len(users), len(lists), dtype=torch.int64)
        return taught_unobserved(lists, last, torch.arange(len(users)), k, one_snapshot)[0]

    return serve
