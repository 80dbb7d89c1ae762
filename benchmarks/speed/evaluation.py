"""Recall and NDCG of the student over all items; the package's side is RecBole's Evaluator, fed with top lists."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import direct
import torch
from harness import Part, timed, timed_in_turn
from inputs import Inputs, chosen_users
from recbole.config import Config
from recbole.evaluator import Evaluator
from recbole.evaluator.collector import DataStruct
from recbole.model.general_recommender import BPR
from torch import Tensor

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.metrics.lists import top_list_entries
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import SCORES_AT_ONCE, ranked_lists

CUTOFFS = (10, 50)


def parts(inputs: Inputs, repeats: int, generator: torch.Generator) -> dict[str, Part]:
    """Both sides on the same users."""
    users = chosen_users(inputs.size, generator)
    scale = inputs.size.users / len(users)
    history, positives = (
        [ragged.values[ragged.offsets[u] : ragged.offsets[u + 1]].numpy() for u in users.tolist()]
        for ragged in (inputs.history, inputs.test)
    )
    factors, item_factors = inputs.user_factors[users], inputs.item_factors
    sides = {
        "direct": partial(direct.evaluate, factors, item_factors, history, positives, CUTOFFS),
        "package": RecBoleStudent(inputs, users).metrics,
    }
    sides["package"]()  # warm-up
    timed_sides = {name: partial(timed, side) for name, side in sides.items()}
    seconds, answers = timed_in_turn(timed_sides, repeats, scale)
    difference = max(abs(answers["direct"][name] - value) for name, value in answers["package"].items())
    agreement = {"agrees": difference < 1e-6, "largest_difference": difference, **answers["package"]}
    note = f"{len(users)} of {inputs.size.users} users timed"
    return {"evaluation": Part(seconds["direct"], seconds["package"], agreement, note)}


class RecBoleStudent:
    """The student as RecBole's BPR, and what it is evaluated on. Item ids are one more: RecBole's item 0 is padding."""

    def __init__(self, inputs: Inputs, users: Tensor) -> None:
        size = inputs.size
        fields = {"USER_ID_FIELD": "user", "ITEM_ID_FIELD": "item", "NEG_PREFIX": "neg_", "device": torch.device("cpu")}
        numbers = {"user": size.users, "item": size.items + 1}
        self.model = BPR({**fields, "embedding_size": size.dimension}, SimpleNamespace(num=numbers.get)).eval()
        self.model.user_embedding.weight.data.copy_(inputs.user_factors)
        self.model.item_embedding.weight.data[1:] = inputs.item_factors
        positives, history = (
            Membership.of(Ragged(ragged.offsets, ragged.values + 1)) for ragged in (inputs.test, inputs.history)
        )
        self.evaluated = EvaluatedUsers(users, positives, history, size.items + 1)
        Config.compatibility_settings(None)  # restores names that RecBole's metrics use and numpy has dropped
        metrics = {"metrics": ["Recall", "NDCG"], "topk": list(CUTOFFS), "metric_decimal_place": 12}
        self.evaluator = Evaluator(metrics)

    def metrics(self) -> dict[str, float]:
        """Recall and NDCG at each cut-off."""
        evaluated = self.evaluated
        lists = ranked_lists(
            self.model, evaluated.users, evaluated.n_items, evaluated.history.items, max(CUTOFFS), SCORES_AT_ONCE
        )
        collected = DataStruct()
        for key, value in top_list_entries(lists, evaluated).items():
            collected.set(key, value)
        return {name: float(value) for name, value in self.evaluator.evaluate(collected).items()}
