"""What makes a trainer a distillation method: one decorator.

A method is one file: its settings, its pure loss, its trainer. The decorator makes the student's model class, and
RecBole and every command know both; see docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from recbole.utils.argument_list import dataset_arguments, evaluation_arguments, general_arguments, training_arguments

from recbole_hetcomp.declared import Settings, suggestion
from recbole_hetcomp.recbole_bridge.registry import STUDENT, register_model
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.student.model import DistilledStudent
from recbole_hetcomp.student.trainer import DistillingTrainer

TRAINING: Mapping[str, Any] = {
    "base_loss_weight": 1.0,
    "user_batch_size": 64,
    "train_batch_size": 2048,
    "learning_rate": 0.02,
    "scaled_weight_decay": 0.038,
    "epochs": 60,
    "eval_step": 5,
    "stopping_step": 5,
}
"""How a student learns from a consensus beside its own loss, where a method says nothing else."""

_SHARED = set(HetCompSettings.names()) | {
    *dataset_arguments,
    *evaluation_arguments,
    *general_arguments,
    *training_arguments,
}
"""Settings that every student has: ours, and RecBole's."""

MethodTrainer = TypeVar("MethodTrainer", bound=type[DistillingTrainer])


def distillation_method(
    settings: type[Settings] | None = None,
    training: Mapping[str, Any] | None = None,
    student: type[DistilledStudent] = DistilledStudent,
) -> Callable[[MethodTrainer], MethodTrainer]:
    """Decorator of a trainer ``<Name>Trainer``: makes the model ``<Name>`` and registers both.

    Args:
        settings: the settings that are the method's own, or None.
        training: its defaults of settings that all students share (``recbole_hetcomp.settings``), or None.
        student: base of its model, where it learns more than the backbone.

    Raises:
        ValueError: the trainer's name does not end in ``Trainer``, its model's name is taken, or a setting has the
            name of a shared one.
    """
    if settings is not None and "__attrs_attrs__" not in vars(settings):
        raise ValueError(f"{settings.__name__} is not declared: decorate it with @settings_group")
    own = set() if settings is None else set(settings.names())

    def register(trainer: MethodTrainer) -> MethodTrainer:
        if not (isinstance(trainer, type) and issubclass(trainer, DistillingTrainer)):
            raise ValueError(f"{trainer!r} is no trainer of a method: derive it from DistillingTrainer")
        name = trainer.__name__.removesuffix("Trainer")
        if name == trainer.__name__ or not name:
            raise ValueError(f"a method's trainer is named <Name>Trainer, not {trainer.__name__!r}")
        shared = own & _SHARED
        if shared:
            raise ValueError(f"{name} declares {sorted(shared)[0]!r}, which all students have: give it in `training`")
        missing = set(trainer.needed_settings) - own
        if missing:
            raise ValueError(f"{name} needs a setting {sorted(missing)[0]!r}: {trainer.__mro__[1].__name__} reads it")
        for key in training or ():
            if key not in own | _SHARED:
                raise ValueError(
                    f"training of {name} names {key!r}{suggestion(key, own | _SHARED)}, which nothing reads"
                )
        content = {
            "__module__": trainer.__module__,
            "__doc__": trainer.__doc__,
            "own_settings": settings,
            "own_defaults": dict(training or {}),
        }
        register_model(type(name, (student,), content), trainer=trainer, role=STUDENT)
        return trainer

    return register
