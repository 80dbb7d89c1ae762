r"""Variational autoencoder over the columns of the interaction matrix: an item is the bag of its users.

Source: Liang et al., *Variational Autoencoders for Collaborative Filtering*, WWW 2018, section 2
(Mult-VAE), with the two sides exchanged. HetComp takes it as its item-autoencoder teacher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional, cast

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.recbole_bridge.large_steps import dropout_of_rows

UNSEEN_SCORE = -1e4
"""Score of an item without training interactions: finite, and below any log probability worth the name."""


@settings_group
class ItemVAESettings(Settings):
    """Settings of ItemVAE; training values were tuned on the validation split of ml-100k (60/20/20 per user)."""

    latent_dimension: int = setting(
        64, "The dimension of the latent variable (RecBole's MultiVAE counts mean and variance together).", at_least=1
    )
    mlp_hidden_size: tuple[int, ...] = setting((200,), "The encoder's hidden layers, reversed in the decoder.")
    dropout_prob: float = setting(0.6, "The dropout probability of the input, below 1.", at_least=0)
    anneal_cap: float = setting(0.7, "The largest weight of the KL divergence.", at_least=0)
    total_anneal_steps: int = setting(
        400,
        "The updates in which that weight would grow from 0 to 1; 0 for anneal_cap from the start.",
        at_least=0,
    )
    item_block_size: int = setting(
        1024, "The items whose softmax over users is computed at a time in evaluation.", at_least=1
    )
    train_neg_sample_args: Optional[Mapping[str, Any]] = setting(None, "None: the softmax is over all users.")
    learning_rate: float = setting(0.001, "Learning rate.", above=0)
    train_batch_size: int = setting(128, "The items in a batch.", at_least=1)
    epochs: int = setting(60, "The number of training epochs.", at_least=0)
    eval_step: int = setting(2, "Epochs between validations.", at_least=0)
    stopping_step: int = setting(4, "The validations without a gain after which training stops.", at_least=0)

    def check(self) -> None:
        """Refuse to drop everything."""
        if self.dropout_prob >= 1:
            raise ValueError(f"dropout_prob={self.dropout_prob!r} is not allowed: from 0 to below 1")


class Bags(NamedTuple):
    """The users of every item, compressed by item.

    Attributes:
        start: where an item's users begin in ``users``, int64, shape [I + 1].
        users: user ids, ordered by item, int64, shape [number of distinct training interactions].
    """

    start: Tensor
    users: Tensor


def bags_of_users(user: Tensor, item: Tensor, item_num: int) -> Bags:
    """Collects the users of every item; repeated interactions count once, padding is left out.

    Args:
        user: user ids of the interactions, int64, shape [N].
        item: item ids of the interactions, int64, shape [N].
        item_num: I.

    >>> bags_of_users(torch.tensor([3, 1, 3, 2]), torch.tensor([2, 2, 2, 1]), item_num=3)
    Bags(start=tensor([0, 0, 1, 3]), users=tensor([2, 1, 3]))
    """
    real = (user != 0) & (item != 0)
    pairs = torch.stack([item[real], user[real]]).unique(dim=1)  # [2, N'], by item, then by user
    counts = torch.bincount(pairs[0], minlength=item_num)
    return Bags(start=F.pad(counts.cumsum(0), (1, 0)), users=pairs[1])


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, exp(log_variance)) from N(0, 1), summed: [B, z] gives [B].

    >>> kl_to_standard_normal(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    tensor([0.5000])
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)


def multilayer(sizes: list[int]) -> nn.Sequential:
    """Linear layers of the given sizes, with tanh between them, Xavier weights and small biases."""
    layers: list[nn.Module] = []
    for size_in, size_out in zip(sizes[:-1], sizes[1:]):
        linear = nn.Linear(size_in, size_out)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.trunc_normal_(linear.bias, std=0.001, a=-0.002, b=0.002)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class ItemVAE(GeneralRecommender):
    r"""Multinomial VAE with items in the place of users: item i's users are drawn from softmax :math:`\pi_i`.

    Each :math:`\pi_i` sums to 1 over users, so it says who likes the item, not how much the item is liked. To
    compare items for one user, it is multiplied by how often the item was taken in training:

    .. math:: score(u, i) = \log \pi_i(u) + \log n_i

    the expected number of u's draws among the item's. Items without training interactions score
    ``UNSEEN_SCORE``.

    Evaluation holds one vector and one number for each item, [I, h] and [I], computed in blocks of
    ``item_block_size`` items and kept while the model is in evaluation mode, so that a batch of users costs
    one matrix product and no [U, I] matrix is ever built. They are dropped whenever training goes on,
    weights are loaded or the model is moved. In training mode scores are computed afresh, with gradients.

    Training needs :class:`recbole_hetcomp.recbole_bridge.loaders.ItemDataLoader`; ``train_batch_size`` counts items.
    """

    input_type = InputType.PAIRWISE  # RecBole asks every model for one; no pairs are read
    own_settings = ItemVAESettings
    bag_start: Tensor
    bag_users: Tensor
    updates: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        own = ItemVAESettings.read(config)
        self.latent_dimension, self.hidden_sizes = own.latent_dimension, list(own.mlp_hidden_size)
        self.dropout_prob, self.anneal_cap = own.dropout_prob, own.anneal_cap
        self.total_anneal_steps, self.item_block_size = own.total_anneal_steps, own.item_block_size

        bags = bags_of_users(dataset.inter_feat[self.USER_ID], dataset.inter_feat[self.ITEM_ID], self.n_items)
        self.register_buffer("bag_start", bags.start, persistent=False)  # [I + 1]
        self.register_buffer("bag_users", bags.users, persistent=False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))  # saved: annealing goes on

        self.encoder = multilayer([self.n_users, *self.hidden_sizes, 2 * self.latent_dimension])
        decoder = multilayer([self.latent_dimension, *reversed(self.hidden_sizes), self.n_users])
        self.decoder = decoder[:-1]  # from the latent to the last hidden layer, [B, z] to [B, h]
        self.output = cast(nn.Linear, decoder[-1])  # one row a user
        self._item_outputs: tuple[Tensor, Tensor] | None = None

    def item_rows(self, item: Tensor) -> Tensor:
        """Columns of the interaction matrix, 1 where the user has the item: item ids [B] give [B, U]."""
        start, size = self.bag_start[item], self.bag_start[item + 1] - self.bag_start[item]  # [B]
        row = torch.arange(len(item), device=item.device).repeat_interleave(size)  # [n], n = size.sum()
        first = size.cumsum(0) - size  # where each row begins among the n
        position = torch.arange(len(row), device=item.device) + (start - first)[row]
        rows = self.output.weight.new_zeros(len(item), self.n_users)
        rows[row, self.bag_users[position]] = 1.0
        return rows

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | item): rows [B, U] give [B, z] twice."""
        hidden = dropout_of_rows(F.normalize(rows), self.dropout_prob, self.training)
        mean, log_variance = self.encoder(hidden).chunk(2, dim=-1)
        return mean, log_variance

    def _sample(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        if not self.training:
            return mean
        return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One pass through the autoencoder.

        Args:
            rows: columns of the interaction matrix, shape [B, U].

        Returns:
            Log probability of each user, shape [B, U] (padding is outside the softmax, its column means
            nothing); mean and log variance of the latent, shape [B, z].
        """
        mean, log_variance = self.encode(rows)
        logits = self.output(self.decoder(self._sample(mean, log_variance)))  # [B, U]
        return logits - self._log_normaliser(logits), mean, log_variance

    @staticmethod
    def _log_normaliser(logits: Tensor) -> Tensor:
        return logits[:, 1:].logsumexp(1, keepdim=True)  # [B, 1], without padding user 0

    def _anneal(self) -> Tensor:
        """Weight of the divergence after this many updates, []: linear from 0, at most ``anneal_cap``."""
        if self.total_anneal_steps == 0:
            return torch.full_like(self.updates, self.anneal_cap, dtype=torch.float32)
        return (self.updates / self.total_anneal_steps).clamp(max=self.anneal_cap)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Mean multinomial cross entropy plus annealed divergence of a batch of items, shape []."""
        self._forget_item_outputs()
        self.updates += 1
        rows = self.item_rows(interaction[self.ITEM_ID])  # [B, U]
        log_probability, mean, log_variance = self(rows)
        cross_entropy = -(log_probability * rows).sum(1)  # [B]
        return (cross_entropy + self._anneal() * kl_to_standard_normal(mean, log_variance)).mean()

    def _score_parts(self, item: Tensor) -> tuple[Tensor, Tensor]:
        """Last hidden layer and score offset of items: [B] gives [B, h] and [B].

        The score is ``hidden @ weight[u] + bias[u] + offset``; the offset is the log popularity less the log
        normaliser.
        """
        latent = self._sample(*self.encode(self.item_rows(item)))
        hidden = self.decoder(latent)  # [B, h]
        normaliser = self._log_normaliser(self.output(hidden)).squeeze(1)  # [B]
        popularity = self._popularity(item)
        return hidden, popularity.clamp(min=1).log() - normaliser

    def _popularity(self, item: Tensor) -> Tensor:
        return self.bag_start[item + 1] - self.bag_start[item]

    def _all_score_parts(self) -> tuple[Tensor, Tensor]:
        items = torch.arange(self.n_items, device=self.bag_start.device)
        blocks = [self._score_parts(block) for block in items.split(self.item_block_size)]
        hidden, offset = zip(*blocks)
        return torch.cat(hidden), torch.cat(offset)  # [I, h], [I]

    def item_outputs(self) -> tuple[Tensor, Tensor]:
        """Last hidden layer [I, h] and score offset [I] of every item; kept in evaluation mode."""
        if self.training:
            return self._all_score_parts()
        if self._item_outputs is None:
            with torch.no_grad():
                self._item_outputs = self._all_score_parts()
        return self._item_outputs

    def predict(self, interaction: Any) -> Tensor:
        """Scores of pairs, shape [B]."""
        user, item = interaction[self.USER_ID], interaction[self.ITEM_ID]
        hidden, offset = self.item_outputs()
        score = (hidden[item] * self.output.weight[user]).sum(1) + self.output.bias[user] + offset[item]
        return score.masked_fill(self._popularity(item) == 0, UNSEEN_SCORE)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of all items for each user, shape [B * I], from one matrix product."""
        user = interaction[self.USER_ID]
        hidden, offset = self.item_outputs()
        score = self.output.weight[user] @ hidden.T + self.output.bias[user, None] + offset  # [B, I]
        return score.masked_fill(self.bag_start.diff() == 0, UNSEEN_SCORE).view(-1)

    def _forget_item_outputs(self) -> None:
        self._item_outputs = None

    def train(self, mode: bool = True) -> ItemVAE:
        """Sets the mode, as in torch; training mode forgets the items' outputs."""
        if mode:
            self._forget_item_outputs()
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._forget_item_outputs()
        super()._load_from_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> ItemVAE:
        self._forget_item_outputs()
        return super()._apply(*args, **kwargs)
