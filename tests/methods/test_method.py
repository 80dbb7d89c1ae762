"""The decorator of methods: what it refuses, before anything is registered."""

from __future__ import annotations

import pytest

from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods import ConsensusTrainer, StudentGuidedTrainer, distillation_method
from recbole_hetcomp.recbole_bridge.registry import registered
from recbole_hetcomp.student.trainer import DistillingTrainer


@settings_group
class Weighted(Settings):
    kd_weight: float = setting(1.0, "Weight of the distillation loss.", at_least=0)


class Undeclared(Settings):
    kd_weight: float = setting(1.0, "Weight of the distillation loss.", at_least=0)


@settings_group
class Seeded(Weighted):
    seed: int = setting(7, "RecBole has one.")


@settings_group
class Ours(Weighted):
    T_r: float = setting(7.0, "All students have one.")


@pytest.mark.parametrize(
    ("base", "name", "settings", "training", "message"),
    [
        (ConsensusTrainer, "Nameless", Weighted, None, "named <Name>Trainer, not 'Nameless'"),
        (ConsensusTrainer, "Trainer", Weighted, None, "named <Name>Trainer, not 'Trainer'"),
        (object, "RefusedTrainer", Weighted, None, "derive it from DistillingTrainer"),
        (ConsensusTrainer, "RefusedTrainer", Undeclared, None, "Undeclared is not declared: decorate it"),
        (ConsensusTrainer, "RefusedTrainer", Seeded, None, "declares 'seed', which all students have"),
        (ConsensusTrainer, "RefusedTrainer", Ours, None, "declares 'T_r', which all students have"),
        (ConsensusTrainer, "RefusedTrainer", None, None, "needs a setting 'kd_weight': ConsensusTrainer reads it"),
        (StudentGuidedTrainer, "RefusedTrainer", Weighted, None, "needs a setting 'refresh_epochs'"),
        (DistillingTrainer, "RefusedTrainer", None, {"epoch": 3}, "names 'epoch'; did you mean 'epochs'"),
        (DistillingTrainer, "BPRTrainer", None, None, "model name 'BPR' is taken"),
    ],
)
def test_what_is_refused(base, name, settings, training, message):
    before = registered()
    trainer = type(name, (base,), {})
    with pytest.raises(ValueError, match=message):
        distillation_method(settings, training)(trainer)
    assert registered() == before


def test_a_method_may_have_no_settings_of_its_own():
    trainer = distillation_method()(type("PlainMethodTrainer", (DistillingTrainer,), {}))
    entry = registered()["PlainMethod"]
    assert (entry.trainer, entry.role, entry.model.own_settings) == (trainer, "student", None)


def test_a_method_typed_again_takes_the_place_of_the_first():
    made = [type("TypedTrainer", (DistillingTrainer,), {"__module__": "__main__"}) for _ in range(2)]
    for trainer in made:
        distillation_method()(trainer)
    assert registered()["Typed"].trainer is made[1]
    elsewhere = type("TypedTrainer", (DistillingTrainer,), {"__module__": "elsewhere"})
    with pytest.raises(ValueError, match="'Typed' is taken"):
        distillation_method()(elsewhere)
