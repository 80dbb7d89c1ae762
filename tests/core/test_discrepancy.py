"""D@K_D against hand-computed values, the oracle, and what must hold of it."""

from __future__ import annotations

import math

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core.discrepancy import GAINS, T_R, discrepancy
from recbole_hetcomp.core.rankings import PAD

seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=60, deadline=None)


def random_lists(seed: int, n_items: int, length: int, rows: int = 4) -> torch.Tensor:
    """Lists of distinct items with a padded tail of random length."""
    generator = torch.Generator().manual_seed(seed)
    lists = torch.stack([torch.randperm(n_items, generator=generator)[:length] for _ in range(rows)])
    filled = torch.randint(0, lists.shape[1] + 1, (rows, 1), generator=generator)
    return lists.masked_fill(torch.arange(lists.shape[1]) >= filled, PAD)


def test_hand_computed_for_both_gains() -> None:
    # Teacher [5, 6]; student [9, 5]: one hit, at position 1, of the teacher's rank 0. T_r = 1.
    first, second = 2**1 - 1, 2 ** math.exp(-1) - 1
    ideal = first / 1 + second / math.log2(3)
    student, teacher = torch.tensor([[9, 5]]), torch.tensor([[5, 6]])
    by_teacher = discrepancy(student, teacher, 2, T_r=1.0, gain="teacher")
    by_position = discrepancy(student, teacher, 2, T_r=1.0, gain="position")
    assert by_teacher.item() == pytest.approx(1 - first / math.log2(3) / ideal, abs=1e-12)
    assert by_position.item() == pytest.approx(1 - second / math.log2(3) / ideal, abs=1e-12)


@quick
@given(
    seed=seeds,
    n_items=st.integers(1, 15),
    lengths=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    K_D=st.integers(1, 20),
    gain=st.sampled_from(GAINS),
)
def test_agrees_with_the_oracle(seed: int, n_items: int, lengths: tuple[int, int], K_D: int, gain: str) -> None:
    student, teacher = random_lists(seed, n_items, lengths[0]), random_lists(seed + 1, n_items, lengths[1])
    found = discrepancy(student, teacher, K_D, 10.0, gain)
    assert found.dtype == torch.float64
    assert ((found >= 0) & (found <= 1)).all()
    for row in range(len(student)):
        lists = [[item for item in one[row].tolist() if item != PAD] for one in (student, teacher)]
        expected = min(1.0, max(0.0, oracles.discrepancy(*lists, K_D, 10.0, gain)))
        assert found[row].item() == pytest.approx(expected, abs=1e-12)


@quick
@given(seed=seeds, length=st.integers(2, 50))
def test_zero_only_for_equal_lists(seed: int, length: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randperm(100, generator=generator)[None, :length]
    assert discrepancy(teacher, teacher, 50).item() == 0.0
    swap = int(torch.randint(0, length - 1, (), generator=generator))
    student = teacher.clone()
    student[0, [swap, swap + 1]] = teacher[0, [swap + 1, swap]]
    expected = oracles.discrepancy(student[0].tolist(), teacher[0].tolist(), 50, T_R)
    assert expected > 0
    assert discrepancy(student, teacher, 50).item() == pytest.approx(expected, abs=1e-12)
    assert discrepancy(student, teacher, 50, gain="position").item() == 0.0  # sees the set, not the order


def test_one_when_nothing_is_shared_and_zero_for_an_empty_teacher() -> None:
    student = torch.tensor([[1, 2], [1, 2], [PAD, PAD]])
    teacher = torch.tensor([[3, 4], [PAD, PAD], [3, 4]])
    for gain in GAINS:
        assert discrepancy(student, teacher, 2, gain=gain).tolist() == [1.0, 0.0, 1.0]


def test_lists_of_other_widths_count_as_far_as_they_go() -> None:
    teacher = torch.tensor([[4, 5, 6]])
    assert discrepancy(torch.tensor([[4, 5, 6, 7, 8]]), teacher, 50).item() == 0.0
    assert discrepancy(torch.tensor([[4, 5, 9]]), teacher, 2).item() == 0.0
    expected = oracles.discrepancy([4], [4, 5, 6], 50, T_R)
    assert discrepancy(torch.tensor([[4]]), teacher, 50).item() == pytest.approx(expected, abs=1e-12)
    assert discrepancy(torch.zeros(1, 0, dtype=torch.int64), teacher, 50).item() == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"K_D": 0}, "K_D is 0"),
        ({"K_D": 1, "T_r": 0.0}, "T_r is 0.0"),
        ({"K_D": 1, "T_r": math.nan}, "T_r is nan"),
        ({"K_D": 1, "gain": "both"}, "'both'; allowed: teacher, position"),
    ],
)
def test_refuses_bad_settings(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        discrepancy(torch.zeros(1, 1).long(), torch.zeros(1, 1).long(), **arguments)
