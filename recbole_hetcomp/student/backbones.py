"""What a student needs of its backbone besides a loss and predictions, one adapter a kind of model.

A model without an adapter of its own is a student all the same: its scores are then taken from
``full_sort_predict``, a whole row a user. An adapter that knows the scores as dot products makes them cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from recbole.model.general_recommender import BPR, LightGCN
from torch import Tensor, arange, cat, nn, ones_like
from torch.nn.functional import embedding

from recbole_hetcomp.teachers.cml import CML
from recbole_hetcomp.teachers.ials import IALS


class Backbone:
    """Any RecBole general recommender as a student's backbone; an adapter of another kind overrides what it knows.

    Attributes:
        model: the RecBole model.
        scale: what its scores are multiplied with in the losses, the inverse of a softmax's temperature.
    """

    scale: float = 1.0

    def __init__(self, model: Any) -> None:
        self.model = model

    def factors(self, users: Tensor) -> tuple[Tensor, Tensor] | None:
        """User factors [B, d] and item factors [I, d] whose dot product is the score, with gradients, or None.

        Args:
            users: int64 [B].
        """
        return None

    def embeddings(self) -> tuple[nn.Embedding, nn.Embedding] | None:
        """The tables of users and items whose rows are the factors as they are; None where there are none."""
        return None

    def before_step(self) -> None:
        """What a step starts with."""

    def user_representation(self, users: Tensor | None = None) -> Tensor:
        """What the model knows of its users: its user embeddings side by side, float [B, d].

        Args:
            users: int64 [B]; all if None.

        Raises:
            ValueError: it has no user embedding.
        """
        tables = [
            module.weight
            for name, module in self.model.named_children()
            if isinstance(module, nn.Embedding) and name.startswith("user")
        ]
        if not tables:
            name = type(self.model).__name__
            raise ValueError(f"student_backbone={name!r} has no user embedding; use e.g. 'BPR'")
        return cat([table if users is None else embedding(users, table) for table in tables], dim=1)


Adapter = TypeVar("Adapter", bound=type[Backbone])
_ADAPTERS: dict[type, type[Backbone]] = {}


def backbone_adapter(*models: type) -> Callable[[Adapter], Adapter]:
    """Decorator: the adapter of these model classes, and of no others; a subclass may score in another way.

    >>> @backbone_adapter(type("MyFactorization", (nn.Module,), {}))
    ... class MyBackbone(Backbone):
    ...     def factors(self, users):
    ...         return self.model.users(users), self.model.items.weight
    """

    def register(adapter: Adapter) -> Adapter:
        for model in models:
            _ADAPTERS[model] = adapter
        return adapter

    return register


def adapter_of(model: Any) -> Backbone:
    """The adapter of a model: its class's, or the one that fits any."""
    return _ADAPTERS.get(type(model), Backbone)(model)


@backbone_adapter(BPR, IALS)
class FactorizationBackbone(Backbone):
    """Matrix factorization."""

    def embeddings(self) -> tuple[nn.Embedding, nn.Embedding]:
        """As :meth:`Backbone.embeddings`."""
        return self.model.user_embedding, self.model.item_embedding

    def factors(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`Backbone.factors`."""
        return self.model.user_embedding(users), self.model.item_embedding.weight


@backbone_adapter(LightGCN)
class GraphBackbone(Backbone):
    """Embeddings that are propagated over a graph."""

    def factors(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`Backbone.factors`."""
        user_factors, item_factors = self.model.forward()
        return embedding(users, user_factors), item_factors

    def user_representation(self, users: Tensor | None = None) -> Tensor:
        """The propagated embeddings of some users."""
        return super().user_representation() if users is None else self.factors(users)[0]


@backbone_adapter(CML)
class MetricBackbone(Backbone):
    """Points of the unit ball: -|u - i|^2 = 2 u i - |u|^2 - |i|^2, a dot product in two more places.

    Scores lie in [-4, 0], where no softmax over a catalogue is sharp, hence the scale.
    """

    scale = 20.0

    def factors(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`Backbone.factors`."""
        user = self.model.get_user_embedding(users)
        item = self.model.get_item_embedding(arange(self.model.n_items, device=users.device))
        user_square, item_square = user.square().sum(1, keepdim=True), item.square().sum(1, keepdim=True)
        return (
            cat([2 * user, -user_square, -ones_like(user_square)], dim=1),
            cat([item, ones_like(item_square), item_square], dim=1),
        )

    def before_step(self) -> None:
        """Points go back into the unit ball, as projected gradient descent wants it."""
        self.model.project()
