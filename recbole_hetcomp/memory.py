"""What part of a memory budget one matrix is."""

from __future__ import annotations

# The scores of a block of users are float32 and held up to four times (a model's product, a copy without the history,
# what a selection needs); the lists' computations, which run in blocks of their own, hold up to sixteen int64 matrices
# of one size.
_BYTES_PER_SCORE = 16
_BYTES_PER_ELEMENT = 128


def score_elements(memory_budget_mb: int) -> int:
    """Scores of a block of users that fit a memory budget in MiB."""
    return (memory_budget_mb << 20) // _BYTES_PER_SCORE


def block_elements(memory_budget_mb: int) -> int:
    """Elements of the lists' computations that fit a memory budget in MiB."""
    return (memory_budget_mb << 20) // _BYTES_PER_ELEMENT
