"""An epoch of the listwise losses, forward and backward; all users coarse, then all fine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from harness import Part, timed, timed_in_turn
from inputs import Inputs
from loss_sides import BATCH_ROWS, SAMPLED_REST, Lesson, direct_loss, draw_lesson, fused_loss, sampled_loss, shared_loss
from torch import Tensor
from torch.nn.functional import embedding


def parts(inputs: Inputs, repeats: int, generator: torch.Generator) -> dict[str, Part]:
    """Both stages with the same lists and batches."""
    lesson = draw_lesson(inputs, generator)
    found: dict[str, Part] = {}
    for stage in ("coarse", "fine"):
        found.update(_stage_parts(inputs, lesson, stage, repeats))
    return found


def _stage_parts(inputs: Inputs, lesson: Lesson, stage: str, repeats: int) -> dict[str, Part]:
    scale = inputs.size.epoch_rows / sum(map(len, lesson.batches))
    note = f"{len(lesson.batches)} batches of {BATCH_ROWS} rows timed, scaled to {inputs.size.epoch_rows} rows"
    sides = {
        "direct": (partial(direct_loss, lesson, stage), 0.0, note),
        "loss_exact": (partial(fused_loss, lesson, stage), 1e-4, note),
        "loss_sampled": (
            partial(shared_loss, lesson, stage),
            0.1,
            f"{note}; S = {SAMPLED_REST} a batch, values compared",
        ),
        "loss_sampled_per_user": (
            partial(sampled_loss, lesson, stage),
            0.1,
            f"{note}; S = {SAMPLED_REST} a user, values compared",
        ),
    }
    for loss, _, _ in sides.values():
        _epoch(inputs, lesson, loss, 1)  # warm-up
    epochs = {name: partial(timed, partial(_epoch, inputs, lesson, loss)) for name, (loss, _, _) in sides.items()}
    seconds, answers = timed_in_turn(epochs, repeats, scale)
    return {
        f"{name}_{stage}": Part(
            seconds["direct"], seconds[name], _compare(answers["direct"], answers[name], tolerance), about
        )
        for name, (_, tolerance, about) in sides.items()
        if name != "direct"
    }


def _epoch(
    inputs: Inputs, lesson: Lesson, loss: Callable[[Tensor, Tensor, Tensor], Tensor], n_batches: int | None = None
) -> list[list[Tensor]]:
    """Loss and gradients of both tables of factors, a batch each."""
    user_table = inputs.user_factors.clone().requires_grad_()
    item_table = inputs.item_factors.clone().requires_grad_()
    found = []
    for users in lesson.batches[:n_batches]:
        value = loss(users, embedding(users, user_table), item_table)
        found.append([value.detach(), *torch.autograd.grad(value, (user_table, item_table))])
    return found


def _compare(expected: list[list[Tensor]], found: list[list[Tensor]], tolerance: float) -> dict[str, Any]:
    """Largest relative difference of a batch's value and of its gradients, by norm; of a sampled loss the value's."""
    value, *gradients = (
        max(float((a - b).double().norm() / a.double().norm()) for a, b in zip(*pair))
        for pair in zip(zip(*expected), zip(*found))
    )
    sampled = tolerance > 1e-3
    return {
        "agrees": value < tolerance and (sampled or max(gradients) < tolerance),
        "relative_difference_of_value": value,
        "relative_difference_of_gradients": max(gradients),
    }
