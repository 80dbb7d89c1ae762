"""Evaluates rankings where RecBole evaluates matrices of scores: the same metrics, from top lists.

RecBole's full-sort evaluation scores the catalogue, masks the history and marks the positives in another matrix over
the catalogue. Metrics of top lists need the lists alone; metrics of whole score vectors stay with RecBole.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.evaluator import Collector
from recbole.evaluator.collector import DataStruct
from recbole.evaluator.register import metric_information
from recbole.trainer import Trainer
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.rankings import without
from recbole_hetcomp.recbole_bridge.config import memory_for_scores
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import ranked_lists
from recbole_hetcomp.teachers.recorder import SnapshotRecorder

_FROM_DATA = ("data.num_items", "data.num_users", "data.count_items", "data.count_users")
_FROM_LISTS = ("rec.topk", "rec.items")


def needs_lists_only(config: Any) -> bool:
    """Whether all metrics of a RecBole Config can be computed from top lists."""
    needs = {need for metric in config["metrics"] for need in metric_information[metric.lower()]}
    return needs <= {*_FROM_DATA, *_FROM_LISTS}


def top_list_entries(lists: Tensor, evaluated: EvaluatedUsers) -> dict[str, Tensor]:
    """What RecBole's Collector hands to metrics of top lists.

    Args:
        lists: the evaluated users' top lists, int [n, L].
        evaluated: the users, their positives.

    Returns:
        ``rec.topk``: 1 where a listed item is a positive, then the number of positives, int32 [n, L + 1]; and
        ``rec.items``: the lists with the padding item 0 for ``PAD``, int64 [n, L].
    """
    hits = evaluated.positives.holds(evaluated.users, lists)  # [n, L]
    counts = evaluated.positives.items.lengths()[evaluated.users]  # [n]
    return {
        "rec.topk": torch.cat([hits.int(), counts.int()[:, None]], dim=1),
        "rec.items": lists.long().masked_fill(lists == PAD, 0),
    }


def stored_top_lists(lists: Tensor, evaluated: EvaluatedUsers, length: int) -> Tensor:
    """The evaluated users' first stored items outside their history.

    Args:
        lists: item ids, best first, int [U, L].
        evaluated: the users and their history.
        length: k.

    Returns:
        Item ids, ``PAD`` behind a list that is too short, int [n, k].
    """
    rows = lists[evaluated.users]  # [n, L]
    rows = without(rows, evaluated.history.holds(evaluated.users, rows))[:, :length]
    return torch.nn.functional.pad(rows, (0, length - rows.shape[1]), value=PAD)


class ListCollector(Collector):
    """RecBole's Collector, which also takes top lists."""

    def collect_lists(self, lists: Tensor, evaluated: EvaluatedUsers) -> None:
        """Take the evaluated users' top lists, int [n, max(topk)], as all that there is to collect."""
        for key, value in top_list_entries(lists.cpu(), evaluated).items():
            self.data_struct.set(key, value)

    def eval_batch_collect(self, scores_tensor: Tensor, interaction: Any, positive_u: Any, positive_i: Any) -> None:
        """As RecBole's, or the lists of an :class:`EvaluatedUsers` in place of scores."""
        if isinstance(interaction, EvaluatedUsers):
            self.collect_lists(scores_tensor, interaction)
        else:
            super().eval_batch_collect(scores_tensor, interaction, positive_u, positive_i)

    def get_data_struct(self) -> DataStruct:
        """As RecBole's, also where it holds the counts of ``data.*``, on which RecBole's fails."""
        counts = {key: self.data_struct[key] for key in _FROM_DATA if key in self.data_struct}
        for key in counts:
            del self.data_struct[key]
        collected = super().get_data_struct()
        for struct in (self.data_struct, collected):
            for key, value in counts.items():
                struct.set(key, value)
        return collected


class _ListLoader(FullSortEvalDataLoader):
    """Stands for a full-sort loader in RecBole's ``evaluate``: one batch, all that is evaluated."""

    def __init__(self, loader: FullSortEvalDataLoader) -> None:  # no loader's: it loads nothing
        self._dataset = loader._dataset
        self.evaluated = EvaluatedUsers.of(loader)

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[EvaluatedUsers]:
        yield self.evaluated


class ListEvaluation:
    """Mixin of RecBole trainers, before the trainer's class: evaluates top lists where the metrics need no more.

    Attributes:
        recorder: records the model at each validation, from the scores of the validation itself; or None.
    """

    recorder: SnapshotRecorder | None = None
    config: Any
    model: Any
    evaluator: Any

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)  # type: ignore[call-arg]
        self.eval_collector = ListCollector(config)

    def evaluate(
        self,
        eval_data: Any,
        load_best_model: bool = True,
        model_file: str | None = None,
        show_progress: bool = False,
    ) -> Any:
        """As RecBole's ``Trainer.evaluate``."""
        if self._takes_lists(eval_data):
            eval_data = _ListLoader(eval_data)
        return super().evaluate(eval_data, load_best_model, model_file, show_progress)  # type: ignore[misc]

    def evaluate_lists(self, lists: Tensor, eval_data: Any) -> dict[str, float]:
        """Metrics of stored lists, int [U, L], less what is history to an evaluation loader.

        Raises:
            ValueError: the metrics, or the loader, need more than top lists.
        """
        if not self._takes_lists(eval_data):
            raise ValueError(f"metrics={self.config['metrics']} on {type(eval_data).__name__} need more than top lists")
        evaluated = EvaluatedUsers.of(eval_data)
        self.eval_collector.collect_lists(stored_top_lists(lists, evaluated, max(self.config["topk"])), evaluated)
        return dict(self.evaluator.evaluate(self.eval_collector.get_data_struct()))

    def _takes_lists(self, eval_data: Any) -> bool:
        return (
            isinstance(eval_data, FullSortEvalDataLoader)
            and not eval_data.is_sequential
            and bool(self.config["single_spec"])
            and needs_lists_only(self.config)
        )

    def _full_sort_batch_eval(self, batched_data: Any) -> tuple:
        if isinstance(batched_data, EvaluatedUsers):
            return batched_data, self._top_lists(batched_data, max(self.config["topk"])), None, None
        return super()._full_sort_batch_eval(batched_data)  # type: ignore[misc]

    def _top_lists(self, evaluated: EvaluatedUsers, length: int) -> Tensor:
        """The model's top lists, int [n, k]."""
        if self.recorder is not None and self.recorder.covers(evaluated):
            return self.recorder.validation_lists(self.model, evaluated, length)
        model, budget = self._ranked_model(), memory_for_scores(self.config)
        return ranked_lists(model, evaluated.users, evaluated.n_items, evaluated.history.items, length, budget)

    def _ranked_model(self) -> Any:
        """The recommender whose scores are ranked."""
        return self.model


@functools.cache
def evaluating_lists(trainer: type) -> type:
    """A RecBole trainer class with :class:`ListEvaluation`; one that evaluates in a way of its own as it is."""
    own_way = any(
        getattr(trainer, name, None) is not getattr(Trainer, name) for name in ("evaluate", "_full_sort_batch_eval")
    )
    return trainer if own_way else type(trainer.__name__, (ListEvaluation, trainer), {"__doc__": trainer.__doc__})
