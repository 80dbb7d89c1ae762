"""A student of any backbone: the RecBole model that a distillation trainer trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType, get_model
from torch import Tensor, allclose, arange, cat, nn, no_grad
from torch.nn.functional import embedding

from recbole_hetcomp.declared import Settings
from recbole_hetcomp.recbole_bridge.checkpoint import is_reviving, plain_numbers
from recbole_hetcomp.recbole_bridge.config import (
    backbone_config,
    checked_settings,
    run_settings,
    student_defaults,
    student_settings,
)
from recbole_hetcomp.recbole_bridge.scoring import all_item_scores, clear_cache, pair_scores, ranks_by_pairs
from recbole_hetcomp.recbole_bridge.training_rules import shorten
from recbole_hetcomp.recbole_bridge.warm_start import Yesterday
from recbole_hetcomp.student.backbones import adapter_of
from recbole_hetcomp.teachers.planned import check_evaluation
from recbole_hetcomp.teachers.protocol import outside_teachers


class DistilledStudent(GeneralRecommender):
    """Wraps a RecBole general recommender, the backbone, under the student's own settings.

    Predictions and the base loss are the backbone's; ``all_scores`` and ``scores_of`` are what listwise losses need:
    the backbone's scores times ``score_scale``.
    """

    knows_teachers = True
    own_settings: type[Settings] | None = None  # the settings that are the method's own
    own_defaults: Mapping[str, Any] = {}  # its defaults of settings that all methods share
    input_type = InputType.PAIRWISE  # until configure() puts the backbone's in its place

    def __init__(self, config: Any, dataset: Any) -> None:
        started = time.perf_counter()
        super().__init__(config, dataset)
        self.settings = student_settings(config, self.n_items - 1)
        self.method: Any = None if self.own_settings is None else self.own_settings.read(config)
        self.backbone = get_model(self.settings.student_backbone)(backbone_config(config, self.settings), dataset)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            raise ValueError(f"student_backbone={self.settings.student_backbone!r} has no parameters to train")
        if self.settings.embedding_init_std is not None:
            _draw_embeddings(self.backbone, self.settings.embedding_init_std)
        self.adapter = adapter_of(self.backbone)
        scale = self.settings.score_scale
        self.scale = self.adapter.scale if scale is None else scale
        self.register_load_state_dict_post_hook(lambda module, keys: clear_cache(module.backbone))
        self.seconds_made = time.perf_counter() - started  # a backbone may prepare much: a graph, its neighbours

    @classmethod
    def configure(cls, config: Any) -> None:
        """Check the settings when a Config is built, and make RecBole's loader the one that the backbone needs."""
        settings = checked_settings(config, cls.own_settings)
        if not is_reviving():
            check_evaluation(config, settings)
            outside_teachers(settings)
            if settings.warm_start is not None:
                Yesterday.read(settings.warm_start, settings)
                shorten(config, config.external_config_dict, settings.warm_start_epochs)
        backbone = get_model(settings.student_backbone)
        if hasattr(backbone, "input_type"):
            config["MODEL_INPUT_TYPE"] = backbone.input_type

    @classmethod
    def default_settings(cls, config: Any) -> dict[str, Any]:
        """Defaults of a Config of this model, over RecBole's own."""
        own = {} if cls.own_settings is None else cls.own_settings.defaults()
        return student_defaults(config, {**own, **cls.own_defaults})

    @classmethod
    def loader_config(cls, config: Any) -> Any:
        """The Config by which RecBole chooses the training loader: the backbone's."""
        return backbone_config(config, run_settings(config))

    def check_adapter(self) -> None:
        """Refuse an adapter from outside whose factors are not the backbone's scores, or cannot be learnt.

        Raises:
            ValueError: they differ, or have no gradient.
        """
        name, users = type(self.adapter).__name__, arange(1, min(4, self.n_users), device=self.device)
        factors = None if type(self.adapter).__module__.startswith("recbole_hetcomp.") else self.adapter.factors(users)
        if factors is None:
            return
        if not any(factor.requires_grad for factor in factors):
            raise ValueError(f"{name}.factors have no gradient: nothing could be learnt")
        with no_grad():
            expected = all_item_scores(self.backbone, users, self.n_items)
            if not allclose(factors[0] @ factors[1].t(), expected, rtol=1e-3, atol=1e-4):
                raise ValueError(f"{name}.factors are not the scores of {self.settings.student_backbone}")

    def before_step(self) -> None:
        """What a step starts with."""
        self.adapter.before_step()

    def _scaled(self, scores: Tensor) -> Tensor:
        """Scores, or factors of one side, times ``score_scale``; not a copy of them where that is 1."""
        return scores if self.scale == 1.0 else self.scale * scores

    def all_scores(self, users: Tensor) -> Tensor:
        """Scores of every item as the losses see them, with gradients, float [B, I].

        Args:
            users: int64 [B].
        """
        clear_cache(self.backbone)
        return self._scaled(all_item_scores(self.backbone, users, self.n_items))

    def factors(self, users: Tensor) -> tuple[Tensor, Tensor] | None:
        """User factors [B, d] and item factors [I, d], with gradients, whose dot product is the score the losses see.

        None for a backbone whose scores are no dot products.

        Args:
            users: int64 [B].
        """
        clear_cache(self.backbone)
        factors = self.adapter.factors(users)
        return None if factors is None else (self._scaled(factors[0]), factors[1])

    def scores_of(
        self,
        users: Tensor,
        items: Tensor,
        shared: Tensor | None = None,
        factors: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Scores of some items of each user, and of some items for all of them, with gradients.

        Args:
            users: int64 [B].
            items: int64 [B, L].
            shared: int64 [S]; none if None.
            factors: what :meth:`factors` gave for the users, where it was asked already.

        Returns:
            float [B, L] and [B, S].
        """
        shared = items.new_empty(0) if shared is None else shared
        factors = self.factors(users) if factors is None else factors
        n_own, n_shared = items.shape[1], shared.shape[0]
        if factors is None and ranks_by_pairs(self.backbone) and n_own + n_shared < self.n_items:
            wanted = cat((items, shared.expand(len(users), -1)), dim=1)
            pairs = users.repeat_interleave(n_own + n_shared), wanted.view(-1)
            scores = self.scores_of_pairs(*pairs).view(wanted.shape)
            return scores[:, :n_own], scores[:, n_own:]
        if factors is None:
            scores = self.all_scores(users)
            return scores.gather(1, items), scores[:, shared]
        user_factors, item_factors = factors
        # embedding(), not indexing: with several threads the latter adds up gradients in an order that varies.
        own = (embedding(items, item_factors) * user_factors[:, None]).sum(2)
        return own, user_factors @ embedding(shared, item_factors).t()

    def scores_of_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of single pairs, with gradients, float [n].

        Args:
            users: int64 [n].
            items: int64 [n].
        """
        factors = self.factors(users)
        if factors is None:
            return self._scaled(pair_scores(self.backbone, users, items))
        return (factors[0] * embedding(items, factors[1])).sum(1)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """The backbone's own loss on a batch of interactions."""
        return self.backbone.calculate_loss(interaction)

    def predict(self, interaction: Any) -> Tensor:
        """Scores of user-item pairs, float [B]."""
        return self.backbone.predict(interaction)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of all items, float [B * I] or [B, I] as the backbone returns them."""
        return self.backbone.full_sort_predict(interaction)

    def other_parameter(self) -> dict[str, Any]:
        """The backbone's state outside its state dict, without caches.

        Plain numbers are part of it: some of RecBole's models count their updates in one (MultiVAE's annealing).
        """
        named = self.backbone.other_parameter().items()
        return {
            **plain_numbers(self.backbone),
            **{key: value for key, value in named if not key.startswith("restore_")},
        }

    def load_other_parameter(self, para: dict[str, Any] | None) -> None:
        """Give the backbone back what :meth:`other_parameter` took."""
        self.backbone.load_other_parameter(para)


def _draw_embeddings(model: nn.Module, std: float) -> None:
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0.0, std)
