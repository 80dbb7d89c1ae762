r"""Collaborative Metric Learning: users and items are points of one space, near each other where they match.

Source: Hsieh et al., *Collaborative Metric Learning*, WWW 2017, section 3: the hinge loss, the approximate
rank weight, and the regularisation by a unit ball and by the covariance. HetComp takes it as its
metric-learning teacher.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_hetcomp.declared import Settings, setting, settings_group


@settings_group
class CMLSettings(Settings):
    """Settings of CML; training values were tuned on the validation split of ml-100k (60/20/20 per user)."""

    embedding_size: int = setting(64, "The dimension of the space that users and items are points of.", at_least=1)
    margin: float = setting(
        1.25,
        "How much farther than a positive a negative has to be, in squared distance; distances are at most 4.",
        above=0,
    )
    use_rank_weight: bool = setting(True, "Whether to weight a positive by the logarithm of its approximate rank.")
    negative_choice: str = setting(
        "hardest",
        "The negatives whose hinge counts: all (the paper's mean), or the hardest alone as in the authors' code.",
        one_of=("all", "hardest"),
    )
    covariance_weight: float = setting(10.0, "The weight of the penalty on correlated coordinates.", at_least=0)
    train_neg_sample_args: Mapping[str, Any] = setting(
        {"distribution": "uniform", "sample_num": 4}, "As in RecBole; sample_num negatives for each positive."
    )
    learning_rate: float = setting(0.005, "Learning rate.", above=0)
    train_batch_size: int = setting(
        16384, "Pairs of a positive and a negative in a batch: train_batch_size / sample_num positives.", at_least=1
    )
    epochs: int = setting(60, "The number of training epochs.", at_least=0)
    eval_step: int = setting(2, "Epochs between validations.", at_least=0)
    stopping_step: int = setting(3, "The validations without a gain after which training stops.", at_least=0)

    def check(self) -> None:
        """Refuse a number of negatives that is none."""
        number = self.train_neg_sample_args.get("sample_num")
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"train_neg_sample_args.sample_num={number!r} is not allowed: at least 1")


def into_unit_ball(points: Tensor) -> Tensor:
    r"""The nearest point of the closed unit ball: :math:`y / \max(\lVert y \rVert, 1)`.

    Source: Hsieh et al. 2017, section on regularisation. Differentiable; points inside the ball are
    returned unchanged.

    Args:
        points: vectors, shape [..., d].

    Returns:
        Vectors of norm at most 1, shape [..., d].

    >>> into_unit_ball(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    return points / points.norm(dim=-1, keepdim=True).clamp(min=1.0)


def rank_weight(violations: Tensor, sample_num: int, item_num: int) -> Tensor:
    r"""Weight of a positive pair from the number of its sampled negatives that violate the margin.

    .. math:: w = \log\bigl(1 + \lfloor J \cdot M / S \rfloor\bigr)

    where J is the number of items, S of sampled negatives and M of those among them that lie within the
    margin: a one-step estimate of WARP's rank. Source: Hsieh et al. 2017, section on the approximated
    ranking weight.

    Args:
        violations: M, any shape.
        sample_num: S.
        item_num: J.

    Returns:
        Weights, float32, the shape of ``violations``.

    >>> rank_weight(torch.tensor([0, 1]), sample_num=2, item_num=10)  # log 1, log 6
    tensor([0.0000, 1.7918])
    """
    rank = torch.div(violations * item_num, sample_num, rounding_mode="floor")
    return rank.float().log1p()


def metric_hinge_loss(
    positive: Tensor,
    negative: Tensor,
    margin: float,
    item_num: int,
    use_rank_weight: bool = True,
    negative_choice: str = "all",
) -> Tensor:
    r"""Hinge loss on squared distances, weighted by the positive's approximate rank.

    .. math:: L = w \cdot \frac{1}{S} \sum_{k=1}^{S} \bigl[m + d^2(u,i) - d^2(u,k)\bigr]_+

    (``all``, the paper's loss over the sampled negatives), or the nearest negative's term alone
    (``hardest``, what the authors' published code does). Source: Hsieh et al. 2017, sections on model
    formulation and on the approximated ranking weight.

    Args:
        positive: squared distances of the positive pairs, shape [B].
        negative: squared distances to the sampled negatives, shape [S, B].
        margin: m.
        item_num: J, the number of items a rank is estimated over.
        use_rank_weight: w = 1 if false.
        negative_choice: ``all`` or ``hardest``.

    Returns:
        Loss per positive pair, shape [B]. The caller reduces.

    >>> near, far = torch.tensor([1.0]), torch.tensor([[1.2], [9.0]])
    >>> metric_hinge_loss(near, far, margin=0.5, item_num=10, use_rank_weight=False)  # (0.3 + 0) / 2
    tensor([0.1500])
    """
    hinge = (margin + positive - negative).relu()  # [S, B]
    loss = hinge.amax(0) if negative_choice == "hardest" else hinge.mean(0)  # [B]
    if not use_rank_weight:
        return loss
    violations = (hinge > 0).sum(0)  # [B]
    return loss * rank_weight(violations, len(negative), item_num).to(loss.dtype)


def covariance_penalty(points: Tensor) -> Tensor:
    r"""How strongly the coordinates of a batch of points are correlated.

    .. math:: L_c = \sum_{a \neq b} C_{ab}^2, \qquad C = \frac{1}{N} \sum_n (y_n - \mu)(y_n - \mu)^T

    Source: Hsieh et al. 2017, section on regularisation, which prints :math:`\lVert C \rVert_f - \lVert
    diag(C) \rVert_2^2`; here both norms are squared, so that the penalty is 0 exactly where the coordinates
    are uncorrelated.

    Args:
        points: shape [N, d].

    Returns:
        The penalty, shape [].

    >>> covariance_penalty(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))  # C is all ones
    tensor(2.)
    """
    centred = points - points.mean(0)
    covariance = centred.T @ centred / len(points)  # [d, d]
    return covariance.square().sum() - covariance.diagonal().square().sum()


class CML(GeneralRecommender):
    """Collaborative Metric Learning as a RecBole model: a score is minus a squared distance.

    Points stay in the unit ball by projected gradient, as in the paper: each step first projects the tables
    in place (RecBole's stock trainer has no hook after ``optimizer.step``, so the projection due after a
    step is done before the next), and scores are taken from the projected points, so that the state after
    the last step, or in a checkpoint, needs no repair. Learning through the clipping instead would let the
    raw norms grow without bound and so slow the points on the sphere down.

    Of RecBole's ``train_neg_sample_args``, ``sample_num`` is the number S of negatives that a positive is
    compared with; as in all of RecBole a batch holds ``train_batch_size // sample_num`` positives.
    """

    input_type = InputType.PAIRWISE
    own_settings = CMLSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        own = CMLSettings.read(config)
        self.embedding_size, self.margin = own.embedding_size, own.margin
        self.use_rank_weight, self.negative_choice = own.use_rank_weight, own.negative_choice
        self.covariance_weight = own.covariance_weight
        self.sample_num: int = own.train_neg_sample_args["sample_num"]

        self.user_embedding = nn.Embedding(self.n_users, self.embedding_size)
        self.item_embedding = nn.Embedding(self.n_items, self.embedding_size)
        for table in (self.user_embedding, self.item_embedding):
            nn.init.normal_(table.weight, std=1.0 / math.sqrt(self.embedding_size))
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        """Moves every user and item outside the unit ball to its surface, in place."""
        for table in (self.user_embedding, self.item_embedding):
            table.weight.copy_(into_unit_ball(table.weight))

    def get_user_embedding(self, user: Tensor) -> Tensor:
        """Points of users, inside the unit ball: ids of any shape [...] give [..., d]."""
        return into_unit_ball(self.user_embedding(user))

    def get_item_embedding(self, item: Tensor) -> Tensor:
        """Points of items, inside the unit ball: ids of any shape [...] give [..., d]."""
        return into_unit_ball(self.item_embedding(item))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Squared distances of pairs: ids of shapes that broadcast to [...] give [...]."""
        return (self.get_user_embedding(user) - self.get_item_embedding(item)).square().sum(-1)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Mean weighted hinge loss plus the covariance penalty, shape [].

        ``interaction`` holds each positive pair S times, in S blocks of B, each time with another negative.
        """
        self.project()
        negative_item = interaction[self.NEG_ITEM_ID].view(self.sample_num, -1)  # [S, B]
        batch_size = negative_item.shape[1]
        user = self.get_user_embedding(interaction[self.USER_ID][:batch_size])  # [B, d]
        item = self.get_item_embedding(interaction[self.ITEM_ID][:batch_size])  # [B, d]
        other = self.get_item_embedding(negative_item)  # [S, B, d]
        loss = metric_hinge_loss(
            (user - item).square().sum(-1),
            (user - other).square().sum(-1),
            self.margin,
            self.n_items - 1,  # padding is no item
            self.use_rank_weight,
            self.negative_choice,
        ).mean()
        if self.covariance_weight > 0:
            loss = loss + self.covariance_weight * covariance_penalty(torch.cat([user, item, *other]))
        return loss

    def predict(self, interaction: Any) -> Tensor:
        """Scores of pairs, shape [B]."""
        return -self(interaction[self.USER_ID], interaction[self.ITEM_ID])

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of all items for each user, shape [B * I], from one matrix product."""
        user = self.get_user_embedding(interaction[self.USER_ID])  # [B, d]
        item = into_unit_ball(self.item_embedding.weight)  # [I, d]
        norms = user.square().sum(1, keepdim=True) + item.square().sum(1)  # [B, I]
        return torch.addmm(norms, user, item.T, beta=-1, alpha=2).view(-1)
