"""What was tried in HetComp's lesson beside its defaults, as one method: ``run_recbole --extension=…/variant.py
--model=Variant``. ``ideas.py`` beside it runs the table.

The fine loss is a weighted sum over places: each place of pi- against all that stands behind it, .5 a place in the
first K/2 and .5 more in the first K/10. Every idea here is another weight of a place, another list, or a term beside
it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Optional

import attrs
import torch
from torch import Tensor

from recbole_hetcomp.core import PAD, fused_rest_logsumexp, plackett_luce_nll, ranks_in, taught_unobserved
from recbole_hetcomp.core.losses import masked_logsumexp
from recbole_hetcomp.core.rankings import lists_at, user_blocks
from recbole_hetcomp.core.sampling import importance
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods import distillation_method
from recbole_hetcomp.methods.hetcomp import HetCompTrainer
from recbole_hetcomp.student.own_lists import OwnLists
from recbole_hetcomp.teachers.fusion import ensemble_lists
from recbole_hetcomp.teachers.knowledge import Knowledge
from recbole_hetcomp.teachers.planned import served_length


@settings_group
class VariantSettings(Settings):
    """Which idea. The defaults are HetComp's own lesson."""

    place_weights: str = setting(
        "two_lists",
        "Weight of a place: two_lists (method section 5), even (all of K), discount (1 / log2(k + 2)), power (1 / (k +"
        " 1)), decay (exp(-k / place_decay) in the first K/2), three_lists (K/20 as a third one).",
        one_of=("two_lists", "even", "discount", "power", "decay", "three_lists"),
    )
    rest_power: float = setting(1.0, "q in R_u = log (sum e^(q f)) / q: above 1 the hardest items count more.", above=0)
    rest_shift: float = setting(0.0, "What is added to R_u: below 0 the rest counts less.")
    observed_weight: float = setting(1.0, "Weight of pi+ beside pi-.", at_least=0)
    soft_weight: float = setting(0.0, "Weight of soft targets beside the order.", at_least=0)
    soft_temperature: float = setting(20.0, "T of the soft targets exp(-k / T), in ranks.", above=0)
    order_weight: float = setting(1.0, "Weight of pi-'s order.", at_least=0)
    own_power: float = setting(2.0, "Power of the share that the student's own list lacks.", at_least=0)
    own_length: Optional[int] = setting(None, "Length of the student's own list; None: K/2.", at_least=1)
    agreement: str = setting(
        "none", "Longer or shorter lists for users whose teachers agree.", one_of=("none", "longer", "shorter")
    )
    confidence: float = setting(0.0, "T of a place's weight exp(-sigma / T) by its item's drift; 0: none.", at_least=0)
    earlier_weight: float = setting(0.0, "Weight of the snapshots before the last as a lesson beside it.", at_least=0)
    drawn_snapshots: int = setting(1, "Late snapshots from which each epoch draws what is taught.", at_least=1)
    drawn_until: float = setting(1.0, "Share of the epochs in which it draws; then the last.", at_least=0)
    members: int = setting(1, "Late snapshots of each teacher that are members of the ensemble.", at_least=1)


def place_weights(length: int, kind: str, place_decay: float | None) -> Tensor:
    """Weight of each place of pi-, float [length], with the sum that the method's two lists have."""
    k = torch.arange(length, dtype=torch.float32)
    ours = 0.5 * (k < length // 2) + 0.5 * (k < max(1, length // 10))
    shape = {
        "two_lists": ours,
        "even": torch.ones(length),
        "discount": 1.0 / torch.log2(k + 2),
        "power": 1.0 / (k + 1),
        "decay": torch.exp(-k / (place_decay or 1.0)) * (k < length // 2),
        "three_lists": ours + 0.5 * (k < max(1, length // 20)),
    }[kind]
    return shape * (ours.sum() / shape.sum())


def with_members(knowledge: Knowledge, number: int, served_length: int, budget: int) -> Knowledge:
    """The same with an ensemble whose members are the teachers' late snapshots, the teacher's weight shared by them."""

    def fuse(trajectories: Any, v: Tensor, users: Tensor, k: int, settings: Any, *how: Any) -> tuple[Tensor, Tensor]:
        lists, weights = [], []
        for one, weight in zip(trajectories, settings.weights(len(trajectories))):
            late = one[max(0, one.shape[0] - number) :]
            lists += [late[e : e + 1] for e in range(len(late))]
            weights += [weight / len(late)] * len(late)
        return taught_unobserved(
            lists,
            torch.zeros_like(v[:, :1]).expand(-1, len(lists)),
            users,
            k,
            attrs.evolve(settings, teacher_weights=tuple(weights)),
            *how,
        )

    teachers = [trajectory for _, trajectory in knowledge.teachers]
    lists = ensemble_lists(knowledge.data, teachers, knowledge.consensus, served_length, budget, fuse)
    return dataclasses.replace(knowledge, fuse=fuse, validated=lists)


class VariantObjective:
    """The fine loss with other weights, lists and terms."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.own, self.settings = trainer, trainer.method, trainer.settings
        self.scorer = trainer.objective.scorer
        self.weights = place_weights(self.settings.K, self.own.place_weights, self.settings.place_decay).to(
            trainer.device
        )

    def __call__(self, model: Any, users: Tensor, fine: Tensor) -> Tensor:
        """Weighted loss, summed over users; whoever is not in the fine stage is treated as if."""
        lists = self.trainer.lists
        total = self._lesson(model, users, lists, self.trainer.place_factor)
        unobserved = lists.unobserved[users].long()
        total = total + self.trainer.own.loss(model, users, unobserved, torch.ones_like(fine))
        if self.own.earlier_weight:
            total = total + self.own.earlier_weight * self._lesson(model, users, self.trainer.earlier, None)
        return self.settings.fine_weight * total

    def _lesson(self, model: Any, users: Tensor, lists: Any, factor: Tensor | None) -> Tensor:
        observed, unobserved = lists.observed[users].long(), lists.unobserved[users].long()
        history = lists.history.padded(users)
        taught = torch.cat((observed, unobserved), dim=1)
        scores, rest = self._scored(model, users, taught, history)
        n_observed, half = observed.shape[1], unobserved.shape[1] // 2
        valid = unobserved != PAD
        listed = scores[:, n_observed:]
        behind = torch.logaddexp(masked_logsumexp(listed[:, half:], valid[:, half:]), rest)
        loss = self.own.observed_weight * plackett_luce_nll(scores[:, :n_observed], behind, observed != PAD).sum()
        weight = self.weights if factor is None else self.weights * factor[users]
        if self.own.order_weight:
            loss = loss + self.own.order_weight * plackett_luce_nll(listed, rest, valid, weight).sum()
        if self.own.soft_weight:
            rank = torch.arange(unobserved.shape[1], device=users.device).expand(unobserved.shape)
            target = importance(rank, valid, self.own.soft_temperature).float()
            target = target / target.sum(dim=1, keepdim=True).clamp(min=1e-30)
            total = torch.logaddexp(masked_logsumexp(listed, valid), rest)
            cross = (target * (total[:, None] - listed)).masked_fill(~valid, 0.0).sum()
            loss = loss + self.own.soft_weight * self.weights.sum() * cross
        return loss

    def _scored(self, model: Any, users: Tensor, taught: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """The taught items' scores, and R_u with ``rest_power`` and ``rest_shift``."""
        q, scorer = self.own.rest_power, self.scorer
        if q == 1.0:
            scores, rest = scorer(model, users, taught, history)
            return scores, rest + self.own.rest_shift
        outside = torch.cat((history, taught), dim=1)
        user_factors, item_factors = model.factors(users)
        sample = (scorer.shared_draw(users.device), scorer.rest_size(outside)) if scorer.draws else None
        scores, _ = model.scores_of(users, taught.clamp(min=0), factors=(user_factors, item_factors))
        rest = fused_rest_logsumexp(q * user_factors, item_factors, outside, first_item=1, sample=sample) / q
        return scores, rest + self.own.rest_shift


class TriedOwnLists(OwnLists):
    """Own lists of another length, that count by another power of what they lack."""

    def __init__(self, settings: Any, most: float, tried: VariantSettings) -> None:
        super().__init__(settings, most)
        self.length, self.power = tried.own_length or self.length, tried.own_power


@distillation_method(VariantSettings)
class VariantTrainer(HetCompTrainer):
    """HetComp's lesson with one thing changed (``benchmarks/notebook``)."""

    def begin(self, knowledge: Any) -> None:  # noqa: D102 (as HetComp)
        if self.method.members > 1:
            self.knowledge = knowledge = with_members(
                knowledge, self.method.members, served_length(self.config), self.settings.block_elements
            )
        super().begin(knowledge)
        self.place_factor = self._place_factor(knowledge)
        if self.method.earlier_weight:
            self.earlier = type(self.lists)(
                knowledge, self.settings.block_elements, torch.device(self.device), self.settings.observed_knowledge
            )
            self.earlier.rebuild(self.users, (self.state.v - 1).clamp(min=0))
        self.own = TriedOwnLists(self.settings, self.own.most, self.method)
        self.objective = VariantObjective(self)  # type: ignore[assignment]

    def before_epoch(self, epoch: int) -> None:  # noqa: D102 (as HetComp)
        super().before_epoch(epoch)
        if self.method.drawn_snapshots > 1:
            late = torch.randint(0, self.method.drawn_snapshots, self.state.v.shape, generator=self.generator)
            until = self.method.drawn_until * self.config["epochs"]
            back = late.to(self.state.v.device) if epoch < until else 0
            self.lists.rebuild(self.users, (self.state.v - back).clamp(min=0))

    def _place_factor(self, knowledge: Any) -> Tensor | None:
        """What each user's places count more or less, float [U, K]."""
        lists, own = self.lists.unobserved, self.method
        if own.agreement == "none" and not own.confidence:
            return None
        factor = torch.ones(lists.shape, device=lists.device)
        last = [len(one) - 1 for one in knowledge.trajectories]
        agreed = torch.zeros(len(lists), device=lists.device)
        for rows in user_blocks(len(lists), lists.shape[1], self.settings.block_elements):
            users = torch.arange(len(lists), device=lists.device)[rows]
            items, held, drift = lists[rows].long(), 0.0, 0.0
            for one, end in zip(knowledge.trajectories, last):
                absent = one.shape[2]
                ranks = torch.stack(
                    [
                        ranks_in(lists_at(one, torch.full_like(users, e), users), items, absent=absent).float()
                        for e in range(end + 1)
                    ]
                )
                held = held + (ranks[-1] < absent).float()
                drift = drift + ranks[max(0, end - 2) :].std(dim=0, unbiased=False)
            if own.confidence:
                factor[rows] = torch.exp(-drift / len(last) / own.confidence)
            agreed[rows] = held[:, :100].mean(dim=1) / len(last)
        if own.confidence:
            factor = self._rescaled(factor)
        if own.agreement != "none":
            place = agreed[self.users].argsort().argsort().float() / max(1, len(self.users) - 1)  # quantile
            place = place if own.agreement == "longer" else 1 - place
            ends = torch.full((len(lists),), 1.0, device=lists.device)
            ends[self.users] = 0.25 + 0.75 * place
            k = torch.arange(lists.shape[1], device=lists.device)
            keep = k[None] < (ends[:, None] * lists.shape[1] / 2)
            factor = self._rescaled(factor * keep)
        return factor

    def _rescaled(self, factor: Tensor) -> Tensor:
        """Factors with which every user's places count as much together as without them."""
        weights = place_weights(factor.shape[1], self.method.place_weights, self.settings.place_decay).to(factor.device)
        return factor * (weights.sum() / (factor * weights).sum(dim=1, keepdim=True).clamp(min=1e-9))
