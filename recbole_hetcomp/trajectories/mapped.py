"""Trajectories that are larger than memory: mapped from their files, one teacher at a time."""

from __future__ import annotations

import json
import math
import mmap
import os
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from safetensors import safe_open
from torch import Tensor

from recbole_hetcomp.trajectories.trajectory import STORED_TYPES, CorruptTrajectoryError, Trajectory


class MappedTensors(Sequence[Tensor]):
    """One tensor of each of several trajectories, mapped anew whenever it is asked for.

    A mapped tensor's pages count as this process's memory once they are touched, and until the mapping goes. A list
    of tensors therefore grows to the size of the store; of this sequence only what a caller holds is resident: one
    teacher at a time in ``for m, trajectory in enumerate(tensors)``, and a block of users of it where users are
    worked on in blocks. Asking costs some tens of microseconds, and pages that have been read once come from the
    system's cache.

    The files stay open, so an entry that is removed or replaced meanwhile stays readable. Tensors of trajectories
    that have no file are handed out as they are. Writing to a tensor changes neither the file nor the next tensor.

    >>> lists = torch.zeros(1, 2, 3, dtype=torch.int16)
    >>> teacher = Trajectory(lists, torch.zeros(1, 4, dtype=torch.int16), epochs=(1,), scores=(0.5,))
    >>> [tensor.shape for tensor in MappedTensors([teacher, teacher], "unobserved")]
    [torch.Size([1, 2, 3]), torch.Size([1, 2, 3])]
    """

    def __init__(self, trajectories: Iterable[Trajectory], name: str = "unobserved") -> None:
        """Open the files of the trajectories, which the store has verified.

        Args:
            trajectories: one a teacher.
            name: which tensor, a key of `Trajectory.tensors`.

        Raises:
            ValueError: if a trajectory has no such tensor.
            CorruptTrajectoryError: if a file has changed so that it does not hold the tensor any more.
        """
        self._sources: list[Tensor | _StoredTensor] = [_source(trajectory, name) for trajectory in trajectories]

    def __len__(self) -> int:
        """Return the number of trajectories."""
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        """Map one tensor, or a list of them."""
        if isinstance(index, slice):
            return [_mapped(source) for source in self._sources[index]]
        return _mapped(self._sources[index])


class _StoredTensor:
    """A tensor in a safetensors file that is held open."""

    def __init__(self, path: Path, name: str) -> None:
        """Find the tensor in the file's header.

        Raises:
            OSError, ValueError, KeyError, TypeError: if the file does not hold it.
        """
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self.descriptor)
        with open(self.descriptor, "rb", closefd=False) as file:
            length = int.from_bytes(file.read(8), "little")
            entry = json.loads(file.read(length))[name]
        self.shape: list[int] = entry["shape"]
        self.dtype = STORED_TYPES[entry["dtype"]]
        self.count = math.prod(self.shape)
        self.offset: int = 8 + length + entry["data_offsets"][0]

    def __reduce__(self) -> Any:
        """Refuse to be copied or pickled: the copy would use a file that the original closes."""
        raise TypeError("tensors of an open file cannot be copied or pickled; make new MappedTensors instead")

    def map(self) -> Tensor:
        """The tensor on private pages of the file, which go when the tensor does."""
        if not self.count:
            return torch.empty(self.shape, dtype=self.dtype)
        pages = mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_COPY)
        return torch.frombuffer(pages, dtype=self.dtype, count=self.count, offset=self.offset).view(self.shape)


def _source(trajectory: Trajectory, name: str) -> Tensor | _StoredTensor:
    """Where a trajectory's tensor is to be had."""
    tensors = {"unobserved", "observed_ranks"} | ({"served"} if trajectory.served is not None else set())
    if name not in tensors:
        raise ValueError(f"tensor is {name!r}; allowed: {', '.join(sorted(tensors))}")
    tensor: Tensor = getattr(trajectory, name)
    if trajectory.file is None:
        return tensor
    try:
        stored = _StoredTensor(trajectory.file, name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptTrajectoryError(f"{trajectory.file}: {name} cannot be mapped: {error!r}") from error
    if (stored.dtype, tuple(stored.shape)) != (tensor.dtype, tuple(tensor.shape)):
        raise CorruptTrajectoryError(f"{trajectory.file}: replaced since it was read: {name} is {stored.shape}")
    return stored


def _mapped(source: Tensor | _StoredTensor) -> Tensor:
    return source if isinstance(source, Tensor) else source.map()


def map_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, backed by the file's pages."""
    with safe_open(str(path), framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
