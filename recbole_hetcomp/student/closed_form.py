r"""Vectors of users who were not there at training time, from their items, without training.

A student whose score is a dot product gives a user p_u. What p_u would have been is told by a linear model of what the
user's items say, fitted in closed form to the users that the student knows:

.. math:: \hat p_u = A^\top [\, w_u,\; m_u,\; \log(1 + |S_u|),\; 1 \,]

m_u is the mean of the items' vectors, w_u the user step of implicit least squares (Hu et al., ICDM 2008;
:func:`~recbole_hetcomp.teachers.ials.fitted_rows`), which takes out what the items have in common. Alone, either ranks
worse: a student that was taught lists has vectors of another scale than least squares has. With the sides swapped, the
same makes a new item's vector from its users.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.teachers.ials import default_unobserved_weight, fitted_rows

FITTED_TO = 20_000  # rows at most to which the linear model is fitted: it has some dozen unknowns
_UNOBSERVED = (
    0.01  # of the weight that IALS takes by the density of the data; found on validation (docs/results/warm-start.md)
)
_REGULAR = 0.03  # lambda of the least squares, as IALS's own default
_RIDGE = 1e-3  # of the linear model, times the mean square of what it sees
_BLOCK_NUMBERS = 2**22


@dataclass(frozen=True)
class ClosedForm:
    """What makes a vector of a row of partners.

    Attributes:
        other: the partners' vectors, float [I, d].
        unobserved_weight: alpha_0 of the least squares.
        linear: A, float [2 d + 2, d'].
    """

    other: Tensor
    unobserved_weight: float
    linear: Tensor

    @classmethod
    def of(cls, own: Tensor, other: Tensor, pairs: Ragged, known: Tensor) -> ClosedForm:
        """Fit the linear model.

        Args:
            own: vectors of one side, users for example, float [U, d'].
            other: those of the other, float [I, d].
            pairs: each row's partners in the training split.
            known: rows that were trained, bool [U]; those with a partner are fitted to.

        Raises:
            ValueError: there is none.
        """
        rows = (known & (pairs.lengths() > 0)).nonzero().flatten()
        if not len(rows):
            raise ValueError("no row was trained, so a new one has nothing to be like")
        weight = _UNOBSERVED * default_unobserved_weight(len(pairs.values), pairs.n_rows - 1, len(other) - 1)
        rows = rows[:: -(-len(rows) // FITTED_TO)]
        untrained = cls(other, weight, other.new_zeros(0))
        seen = untrained.features(some_rows(pairs, rows)).double()  # [n, 2 d + 2]
        square = seen.t() @ seen
        square.diagonal().add_(_RIDGE * square.diagonal().mean())
        linear = torch.linalg.solve(square, seen.t() @ own[rows].double())
        return cls(other, weight, linear.to(other.dtype))

    def vectors(self, partners: Ragged) -> Tensor:
        """One vector a row, from the row's partners, float [B, d']; of a row without any, that of nobody in particular.

        Args:
            partners: the partners of each of B rows, ids of ``other``.
        """
        return self.features(partners) @ self.linear

    def features(self, partners: Ragged) -> Tensor:
        """What is known of each row, float [B, 2 d + 2]."""
        lengths = partners.lengths()
        fitted = fitted_rows(partners, self.other, self.unobserved_weight, _REGULAR, 1.0)
        owner = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
        total = torch.zeros_like(fitted)
        step = max(1, _BLOCK_NUMBERS // self.other.shape[1])
        for rows, values in zip(owner.split(step), partners.values.split(step)):
            total.index_add_(0, rows, self.other[values])
        count = lengths[:, None].to(fitted.dtype)
        return torch.cat([fitted, total / count.clamp(min=1), count.log1p(), torch.ones_like(count)], dim=1)


def some_rows(pairs: Ragged, rows: Tensor) -> Ragged:
    """Some of the rows, in the order that is asked for."""
    listed = pairs.padded(rows)
    owner = torch.arange(len(rows), device=rows.device)[:, None].expand_as(listed)[listed >= 0]
    return Ragged.from_pairs(owner, listed[listed >= 0], len(rows))
