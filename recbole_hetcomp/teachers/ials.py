r"""Implicit alternating least squares: matrix factorisation fitted in closed form, one side after the other.

Source: Hu, Koren, Volinsky, *Collaborative Filtering for Implicit Feedback Datasets*, ICDM 2008, with the loss, the
regularisation by frequency and the initial values of Rendle, Krichene, Zhang, Koren, *Revisiting the Performance of
iALS on Item Recommendation Benchmarks*, RecSys 2022, sections 3 and 4.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.trainer import Trainer
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.declared import Settings, setting, settings_group

_BLOCK_NUMBERS = 2**22  # of one intermediate of a block of rows


@settings_group
class IALSSettings(Settings):
    """Settings of IALS; the rule for ``unobserved_weight`` was found on the validation splits of four data sets."""

    embedding_size: int = setting(128, "The embedding size of users and items.", at_least=1)
    unobserved_weight: Optional[float] = setting(
        None, "alpha_0: weight of a pair that was not observed; None: by the density of the data.", above=0
    )
    reg_weight: float = setting(0.03, "lambda: the L2 regularisation, times a row's weight.", above=0)
    reg_exponent: float = setting(
        1.0, "nu: the exponent of a row's weight in its regularisation; 0: the same for all.", at_least=0
    )
    init_std: float = setting(0.1, "S.d. of a new vector's norm.", above=0)
    epochs: int = setting(16, "The number of training epochs: each fits the users, then the items.", at_least=0)
    eval_step: int = setting(2, "Epochs between validations.", at_least=0)
    stopping_step: int = setting(2, "The validations without a gain after which training stops.", at_least=0)


def default_unobserved_weight(n_interactions: int, n_users: int, n_items: int) -> float:
    r"""The weight with which all pairs together count a few times as much as the observed ones.

    .. math:: \alpha_0 = c \, |S| / (U I)

    Args:
        n_interactions: \|S\|.
        n_users: U.
        n_items: I.

    >>> round(default_unobserved_weight(1000, 100, 1000), 3)
    0.03
    """
    return _OBSERVED_SHARE * n_interactions / max(1, n_users * n_items)


_OBSERVED_SHARE = 3.0


def fitted_rows(
    observed: Ragged, other: Tensor, unobserved_weight: float, reg_weight: float, reg_exponent: float
) -> Tensor:
    r"""The rows of one side that are best for the other side as it is.

    .. math:: w_u = \Bigl( \sum_{i \in S_u} h_i h_i^\top + \alpha_0 H^\top H + \lambda_u I \Bigr)^{-1}
              \sum_{i \in S_u} h_i, \quad \lambda_u = \lambda (|S_u| + \alpha_0 I)^\nu

    In the basis of the eigenvectors of H'H all but the observed part is diagonal, so that a row with n observations
    costs a system of n unknowns (Woodbury's identity) instead of one of d: most rows of sparse data have few.

    Args:
        observed: the other side's rows that each row was observed with.
        other: H, shape [I, d].
        unobserved_weight: alpha_0.
        reg_weight: lambda, above 0.
        reg_exponent: nu.

    Returns:
        W, shape [rows, d]; zeros for rows without observations.
    """
    d = other.shape[1]
    spectrum, basis = torch.linalg.eigh((other.t() @ other).double())
    spectrum = (unobserved_weight * spectrum.clamp(min=0.0)).to(other.dtype)  # [d]
    rotated = other @ basis.to(other.dtype)
    lengths = observed.lengths()
    regular = reg_weight * (lengths.double() + unobserved_weight * len(other)).pow(reg_exponent).to(other.dtype)
    fitted = other.new_zeros(len(lengths), d)
    order = lengths.argsort(descending=True)
    order = order[: int((lengths > 0).sum())]
    while len(order):
        longest = int(lengths[order[0]])
        n_rows = max(1, _BLOCK_NUMBERS // (longest * d))  # no less than either system
        rows, order = order[:n_rows], order[n_rows:]
        listed = observed.padded(rows)  # [B, n], PAD behind
        near = rotated[listed.clamp(min=0)] * (listed >= 0)[:, :, None]  # [B, n, d]
        diagonal = spectrum + regular[rows, None]  # [B, d]
        fitted[rows] = _dual(near, diagonal, listed >= 0) if longest <= d else _primal(near, diagonal)
    return fitted @ basis.to(other.dtype).t()


def _dual(near: Tensor, diagonal: Tensor, valid: Tensor) -> Tensor:
    """D X' (I + X D X')^-1 1, one system of n unknowns a row, [B, d]."""
    weighted = near / diagonal[:, None]  # [B, n, d]
    system = weighted @ near.transpose(1, 2)  # [B, n, n]
    system.diagonal(dim1=1, dim2=2).add_(1.0)
    share = torch.cholesky_solve(valid[:, :, None].to(near.dtype), torch.linalg.cholesky(system))
    return (weighted.transpose(1, 2) @ share)[:, :, 0]


def _primal(near: Tensor, diagonal: Tensor) -> Tensor:
    """(D^-1 + X'X)^-1 X' 1, one system of d unknowns a row, [B, d]."""
    system = near.transpose(1, 2) @ near
    system.diagonal(dim1=1, dim2=2).add_(diagonal)
    return torch.cholesky_solve(near.sum(1)[:, :, None], torch.linalg.cholesky(system))[:, :, 0]


class IALS(GeneralRecommender):
    r"""Matrix factorisation by implicit alternating least squares: f(u, i) = w_u . h_i.

    .. math:: L = \sum_{(u, i) \in S} (1 - f(u, i))^2 + \alpha_0 \sum_{u, i} f(u, i)^2
              + \sum_u \lambda_u \lVert w_u \rVert^2 + \sum_i \lambda_i \lVert h_i \rVert^2

    An epoch fits all users in closed form, then all items: no learning rate, no negatives. Repeated interactions count
    once. Source: Hu et al., ICDM 2008; Rendle et al., RecSys 2022, sections 3 and 4.
    """

    input_type = InputType.PAIRWISE  # RecBole asks every model for one; training reads no pairs
    own_settings = IALSSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        own = IALSSettings.read(config)
        users, items = dataset.inter_feat[self.USER_ID], dataset.inter_feat[self.ITEM_ID]
        self.by_user = Ragged.from_pairs(users, items, self.n_users)
        self.by_item = Ragged.from_pairs(items, users, self.n_items)
        weight = own.unobserved_weight
        if weight is None:
            weight = default_unobserved_weight(len(self.by_user.values), self.n_users - 1, self.n_items - 1)
        self.unobserved_weight = weight
        self.how = weight, own.reg_weight, own.reg_exponent
        self.user_embedding = nn.Embedding(self.n_users, own.embedding_size)
        self.item_embedding = nn.Embedding(self.n_items, own.embedding_size)
        for table in (self.user_embedding, self.item_embedding):
            nn.init.normal_(table.weight, std=own.init_std / own.embedding_size**0.5)
            with torch.no_grad():
                table.weight[0] = 0.0

    @torch.no_grad()
    def fit_epoch(self) -> None:
        """Fit all users, then all items."""
        users, items = self.user_embedding.weight, self.item_embedding.weight
        users.copy_(fitted_rows(self.by_user.to(users.device), items, *self.how))
        items.copy_(fitted_rows(self.by_item.to(users.device), users, *self.how))

    def calculate_loss(self, interaction: Any) -> Tensor:
        """The loss of a batch of observed pairs, a mean: each user's unobserved part in equal shares with its pairs."""
        users, items = interaction[self.USER_ID], interaction[self.ITEM_ID]
        own, table = self.user_embedding(users), self.item_embedding.weight
        share = self.unobserved_weight / self.by_user.lengths().to(users.device)[users].clamp(min=1)
        everything = ((own @ (table.t() @ table)) * own).sum(1)
        return ((1.0 - (own * self.item_embedding(items)).sum(1)).square() + share * everything).mean()

    def predict(self, interaction: Any) -> Tensor:
        """Scores of user-item pairs, float [B]."""
        users, items = interaction[self.USER_ID], interaction[self.ITEM_ID]
        return (self.user_embedding(users) * self.item_embedding(items)).sum(1)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of all items, float [B, I]."""
        return self.user_embedding(interaction[self.USER_ID]) @ self.item_embedding.weight.t()


class IALSTrainer(Trainer):
    """RecBole's trainer with an epoch of alternating least squares in place of one of gradient steps."""

    def _train_epoch(self, train_data: Any, epoch_idx: int, *args: Any, **kwargs: Any) -> float:
        self.model.train()
        self.model.fit_epoch()
        return 0.0
