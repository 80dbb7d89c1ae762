"""Where a recorder keeps the validations of a teacher that still trains."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from recbole_hetcomp.files import free_bytes
from recbole_hetcomp.trajectories.mapped import map_tensors
from recbole_hetcomp.trajectories.scratch import Scratch, remove_abandoned
from recbole_hetcomp.trajectories.snapshots import select_snapshots
from recbole_hetcomp.trajectories.trajectory import item_dtype, rank_dtype

SPOOL = "spool-"
"""Begins the name of a folder of rows or lists that are not in order yet."""


class SnapshotSpool:
    """Scratch space of a recorder: one file a validation, so memory does not grow with their number.

    Which validations a trajectory keeps is known only when training has ended, so all are kept until then.
    Makes a directory of its own within ``directory``; leaving the context deletes it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as scratch, SnapshotSpool(scratch) as spool:
    ...     for epoch, score in [(1, 0.2), (2, 0.4), (3, 0.3)]:
    ...         spool.append(epoch, score, torch.tensor([[epoch]]), torch.tensor([0]))
    ...     unobserved, _, epochs, scores = spool.build(count=4)
    >>> unobserved.tolist(), epochs, scores
    ([[[1]], [[2]]], (1, 2), (0.2, 0.4))
    """

    def __init__(self, directory: Path | str) -> None:
        """Make an empty scratch directory within ``directory``."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        remove_abandoned(Path(directory), f"{SPOOL}*")
        self._scratch = Scratch(Path(directory), SPOOL)
        self.directory = self._scratch.folder
        self.epochs: list[int] = []
        self.scores: list[float] = []

    def __enter__(self) -> SnapshotSpool:
        """Return the spool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the scratch directory."""
        self.close()

    def __len__(self) -> int:
        """Return the number of validations recorded."""
        return len(self.epochs)

    def close(self) -> None:
        """Delete the scratch directory; a second call does nothing."""
        self._scratch.close()

    def append(self, epoch: int, score: float, unobserved: Tensor, observed_ranks: Tensor) -> None:
        """Record one validation.

        Args:
            epoch: when it took place.
            score: its validation score.
            unobserved: each user's unobserved items, best first, shape [U, K'].
            observed_ranks: ranks aligned with N+_u's values, shape [nnz].

        Raises:
            OSError: if the disk does not take it; the message names the path, the bytes needed and those
                free.
        """
        longest = int(observed_ranks.max()) + 1 if observed_ranks.numel() else 0
        n_items = int(unobserved.max()) + 1 if unobserved.numel() else 0
        tensors = {
            "unobserved": unobserved.detach().to("cpu", item_dtype(n_items)).contiguous(),
            "observed_ranks": observed_ranks.detach().to("cpu", rank_dtype(longest)).contiguous(),
        }
        path = self._file(len(self.epochs))
        try:
            save_file(tensors, str(path))
        except (OSError, SafetensorError) as error:
            path.unlink(missing_ok=True)
            raise cannot_store(path, tensors, error) from error
        self.epochs.append(int(epoch))
        self.scores.append(float(score))

    def build(
        self, count: int, spacing: str = "even", bigger: bool = True
    ) -> tuple[Tensor, Tensor, tuple[int, ...], tuple[float, ...]]:
        """The kept snapshots, chosen by `select_snapshots`, each of their tensors in the smallest type that fits all.

        Holds them once in memory, and one snapshot's pages more while they are read.

        Returns:
            unobserved, int16 or int32, shape [E, U, K']; observed_ranks, likewise, shape [E, nnz]; epochs;
            scores.

        Raises:
            ValueError: if nothing was recorded, or as `select_snapshots` does.
        """
        kept = select_snapshots(self.epochs, self.scores, count, spacing, bigger)
        stacks = self._empty_stacks(kept)
        for place, index in enumerate(kept):
            for name, tensor in map_tensors(self._file(index)).items():
                stacks[name][place] = tensor
        epochs = tuple(self.epochs[index] for index in kept)
        return stacks["unobserved"], stacks["observed_ranks"], epochs, tuple(self.scores[i] for i in kept)

    def _empty_stacks(self, kept: Sequence[int]) -> dict[str, Tensor]:
        """Room for the kept snapshots' tensors, [E, …] each, of a type that fits every snapshot."""
        stacks: dict[str, Tensor] = {}
        for index in kept:
            for name, tensor in map_tensors(self._file(index)).items():
                dtype = torch.promote_types(tensor.dtype, stacks[name].dtype if name in stacks else tensor.dtype)
                stacks[name] = torch.empty(len(kept), *tensor.shape, dtype=dtype)  # takes no memory until written
        return stacks

    def _file(self, index: int) -> Path:
        return self.directory / f"validation-{index:06d}.safetensors"


def cannot_store(path: Path, tensors: Mapping[str, Tensor], error: Exception) -> OSError:
    """The error that tells how much room tensors need, and has the errno that safetensors gives only in its message."""
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    said = re.search(r"os error (\d+)", str(error))
    number = getattr(error, "errno", None) or (int(said.group(1)) if said else errno.EIO)
    return OSError(number, f"cannot store {path}: {error}; {needed} bytes needed, {free_bytes(path)} free")
