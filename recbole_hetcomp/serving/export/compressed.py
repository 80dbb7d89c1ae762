"""Vectors in two bytes or one, with what scores they still give."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_LARGEST = 127


def file_name(precision: str) -> str:
    """The file of compressed vectors in an export."""
    return f"vectors-{precision}.safetensors"


def compress(precision: str, users: NDArray[np.float32], items: NDArray[np.float32]) -> dict[str, NDArray]:
    """Vectors in fewer bytes.

    Args:
        precision: ``float16``; or ``int8``: each vector is rounded to 255 steps of its own largest number.
        users: float32 [U, d].
        items: float32 [I, d].

    Returns:
        ``users`` and ``items``, and for int8 ``user_scales`` [U] and ``item_scales`` [I], float32: a vector is its
        whole numbers times its scale.

    Raises:
        ValueError: there is no such precision, or a number is beyond it.

    >>> table = np.array([[1.0, -0.5]], dtype=np.float32)
    >>> compress("int8", table, table)["users"].tolist()
    [[127, -64]]
    """
    if precision == "float16":
        largest = float(np.finfo(np.float16).max)
        beyond = max(float(np.abs(users).max(initial=0)), float(np.abs(items).max(initial=0)))
        if beyond > largest:
            raise ValueError(f"a vector holds {beyond:.3g}, and float16 ends at {largest:.0f}")
        return {"users": users.astype(np.float16), "items": items.astype(np.float16)}
    if precision != "int8":
        raise ValueError(f"precision {precision!r} is not allowed: float16 or int8")
    (user_steps, user_scales), (item_steps, item_scales) = _steps(users), _steps(items)
    return {"users": user_steps, "items": item_steps, "user_scales": user_scales, "item_scales": item_scales}


def decompress(stored: Mapping[str, NDArray]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What :func:`compress` kept of users and items, float32 [U, d] and [I, d]."""
    tables = []
    for name in ("user", "item"):
        table = stored[f"{name}s"].astype(np.float32)
        scales = stored.get(f"{name}_scales")
        tables.append(table if scales is None else table * scales[:, None])
    return tables[0], tables[1]


def _steps(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scales = (np.abs(table).max(axis=1, initial=0) / _LARGEST).astype(np.float32)
    safe = np.where(scales > 0, scales, 1)
    return np.rint(table / safe[:, None]).clip(-_LARGEST, _LARGEST).astype(np.int8), scales
