"""What a model costs to serve: bytes that are kept, milliseconds for one user, users a second in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from recbole.utils import ModelType
from torch import Tensor

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.recbole_bridge.scoring import SCORES_AT_ONCE, ranked_lists

WARM_UP = 10
"""Calls before the first one that counts: caches are filled, as a server's are."""

Serve = Callable[[Tensor], Tensor]
"""Users, int64 [B] → their top lists, item ids, best first, int [B, k]."""


@dataclass(frozen=True)
class Speed:
    """How fast lists are served.

    Attributes:
        single: milliseconds for one user, each call's, float64 [n].
        per_second: users a second in batches.
        processor: milliseconds of the processor for one user, each call's, float64 [n]; other work on the machine does
            not count in them. It is all the work where one thread does it, on the CPU.
    """

    single: np.ndarray
    per_second: float
    processor: np.ndarray

    def milliseconds(self, percentile: float) -> float:
        """A percentile of the milliseconds for one user.

        >>> Speed(np.array([1.0, 2.0, 3.0]), 0.0, np.array([1.0])).milliseconds(50)
        2.0
        """
        return float(np.percentile(self.single, percentile))


def served_by(model: Any, n_items: int, history: Ragged, k: int, budget: int = SCORES_AT_ONCE) -> Serve:
    """A recommender at work: all items scored, those that a user has left out, the best k taken.

    Args:
        model: a RecBole general recommender in evaluation mode.
        n_items: I, with the padding item.
        history: each user's items that are no candidates.
        k: items of a list.
        budget: scores held at once.
    """
    return lambda users: ranked_lists(model, users, n_items, history, k, budget)


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """While open, torch computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def single_ms(serve: Serve, users: Tensor, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds of each of some users, served one by one after :data:`WARM_UP` calls.

    Args:
        serve: what is timed; its lists are brought to the CPU, so that a GPU has finished.
        users: int64 [n].
        threads: of torch.

    Returns:
        By the clock, and by the calling thread's processor, float64 [n] each.
    """
    times = []
    with threads_of(threads):
        for number in range(WARM_UP + len(users)):
            user = users[(number - WARM_UP) % len(users)][None]
            before = time.perf_counter(), time.thread_time()
            serve(user).cpu()
            times.append((time.perf_counter() - before[0], time.thread_time() - before[1]))
    clock, processor = 1000 * np.array(times[WARM_UP:]).T
    return clock, processor


@torch.no_grad()
def users_per_second(serve: Serve, users: Tensor, batch: int, threads: int = 1) -> float:
    """Users a second in batches, after one batch that does not count.

    Args:
        serve: what is timed.
        users: int64 [n].
        batch: users of a batch.
        threads: of torch.
    """
    with threads_of(threads):
        serve(users[:batch]).cpu()
        started = time.perf_counter()
        for part in users.split(batch):
            serve(part).cpu()
        return len(users) / (time.perf_counter() - started)


def speeds(
    served: Sequence[Serve], single: Tensor, batches: Tensor, batch: int, repeats: int = 1, threads: int = 1
) -> list[Speed]:
    """How fast each of several is, in turns, so that what else a machine does meets all of them alike.

    Args:
        served: what is timed.
        single: users that are served one by one, int64 [n].
        batches: users that are served in batches, int64 [m].
        batch: users of a batch.
        repeats: turns; times of one user are pooled, the throughput is the median.
        threads: of torch.
    """
    turns = [
        [(*single_ms(serve, single, threads), users_per_second(serve, batches, batch, threads)) for serve in served]
        for _ in range(repeats)
    ]
    return [
        Speed(
            np.concatenate([clock for clock, _, _ in own]),
            float(np.median([per_second for _, _, per_second in own])),
            np.concatenate([processor for _, processor, _ in own]),
        )
        for own in zip(*turns)
    ]


def stored_bytes(model: Any) -> int:
    """Bytes of the numbers that a model must keep to be used: its state, or what a one-step model has fitted."""
    if model.type != ModelType.TRADITIONAL:
        return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    fitted = {key: value for key, value in model.other_parameter().items() if key != "interaction_matrix"}
    return sum(_bytes_of(value) for value in fitted.values())


def _bytes_of(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if hasattr(value, "indptr"):  # a sparse matrix of SciPy's
        return value.data.nbytes + value.indices.nbytes + value.indptr.nbytes
    return int(np.asarray(value).nbytes)
