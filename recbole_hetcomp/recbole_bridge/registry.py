"""The models that RecBole knows through the plugin, and what each of them is for.

RecBole finds a model by its module's name below ``recbole.model`` and a trainer as an attribute of
``recbole.trainer``: both are given to it where it looks, and no file is written into it.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import recbole
import recbole.model.general_recommender as general_recommender
import recbole.trainer
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import ModelType, get_model

from recbole_hetcomp.recbole_bridge.property_files import read_properties, recbole_defaults
from recbole_hetcomp.settings import IMPORTED, from_outside

TEACHER, STUDENT, LISTS = "teacher", "student", "lists"
"""Roles of a model: it may teach and be taught; it is a distilled student; it answers with given lists."""

_RECBOLE_FAMILIES = (
    "general_recommender",
    "context_aware_recommender",
    "sequential_recommender",
    "knowledge_aware_recommender",
    "exlib_recommender",
)
_OTHER_FAMILIES = _RECBOLE_FAMILIES[1:4]
_TEACHING_TYPES = (
    ModelType.GENERAL,
    ModelType.TRADITIONAL,
    ModelType.SEQUENTIAL,
    ModelType.CONTEXT,
    ModelType.KNOWLEDGE,
)
_TEACHES_NOTHING = {"Random"}  # of RecBole's models
_CANNOT_TEACH = {
    "S3Rec": "it is trained in two runs, the first of them a pretraining",
    "KSR": "it wants files of pretrained vectors",
    "GRU4RecKG": "it wants files of pretrained vectors",
}


@dataclass(frozen=True)
class Registration:
    """One model of the plugin, or of a user.

    Attributes:
        model: its class.
        trainer: its RecBole trainer class, or None for RecBole's choice.
        loader: its training loader class, or None for RecBole's choice.
        role: ``teacher``, ``student`` or ``lists``.
    """

    model: type
    trainer: type | None = None
    loader: type | None = None
    role: str = TEACHER


_REGISTERED: dict[str, Registration] = {}


def register_model(model: type, trainer: type | None = None, loader: type | None = None, role: str = TEACHER) -> type:
    """Make RecBole know a model class by its name, in this process.

    Args:
        model: a RecBole model class.
        trainer: its trainer, where it is not RecBole's choice.
        loader: its training loader, where it is not RecBole's choice.
        role: ``teacher`` where it may teach and be a student's backbone, ``student`` or ``lists`` where it may not.

    Returns:
        The model class.

    Raises:
        ValueError: RecBole, or somebody else, has a model of this name already; or there is no such role.
    """
    name = model.__name__
    if role not in (TEACHER, STUDENT, LISTS):
        raise ValueError(f"role={role!r} is not allowed: one of {TEACHER}, {STUDENT}, {LISTS}")
    known = _REGISTERED.get(name)
    if known is not None and known.model is model:
        return model
    again = known is not None and known.model.__module__ == model.__module__ == "__main__"  # a cell run once more
    taken = None if again else _place_of(name)
    if taken is not None:
        raise ValueError(f"model name {name!r} is taken: RecBole finds {taken} under it")
    if trainer is not None and not again and hasattr(recbole.trainer, f"{name}Trainer"):
        raise ValueError(f"trainer name '{name}Trainer' is taken in recbole.trainer")
    _REGISTERED[name] = Registration(model, trainer, loader, role)
    alias = ModuleType(f"recbole.model.general_recommender.{name.lower()}", f"Where RecBole looks for {name}.")
    alias.__spec__ = ModuleSpec(alias.__name__, None)
    setattr(alias, name, model)
    sys.modules[alias.__name__] = alias
    setattr(general_recommender, name, model)
    if trainer is not None:
        setattr(recbole.trainer, f"{name}Trainer", trainer)
    return model


def _place_of(name: str) -> str | None:
    """The module that RecBole's get_model finds for a name, or None.

    Looks at files: importing RecBole's families for a look would import their optional dependencies.
    """
    for family in _RECBOLE_FAMILIES:
        module = f"recbole.model.{family}.{name.lower()}"
        file = Path(recbole.__file__).parent / "model" / family / f"{name.lower()}.py"
        if module in sys.modules or file.is_file():
            return module
    return None


def registered() -> dict[str, Registration]:
    """The plugin's and users' models by name."""
    return dict(_REGISTERED)


def registration_of(config: Any) -> Registration | None:
    """What is registered of a Config's model, or None for one of RecBole's own."""
    return _REGISTERED.get(config["model"])


def teacher_defaults(name: str) -> dict[str, Any]:
    """Defaults of a model as a teacher, over RecBole's: what its class declares, or its property file holds.

    Those of a class of somebody's own that is derived from one of RecBole's and declares none are that one's.
    """
    entry = _REGISTERED.get(name)
    own = None if entry is None else getattr(entry.model, "own_settings", None)
    if own is not None:
        return own.defaults()
    found = read_properties("model", name)
    bases = [] if entry is None or found else [base.__name__ for base in entry.model.__mro__[1:]]
    return next(filter(None, ({**recbole_defaults("model", b), **read_properties("model", b)} for b in bases)), found)


def model_defaults(name: str) -> dict[str, Any]:
    """Defaults of a model run by itself: RecBole's own, or the plugin's for its models."""
    return recbole_defaults("model", name) or teacher_defaults(name)


def general_models() -> list[str]:
    """Names of all general recommenders that RecBole knows now, the plugin's among them."""
    return sorted(name for name in vars(general_recommender) if _is_general(name))


def _is_general(name: str) -> bool:
    kind = vars(general_recommender).get(name)
    return isinstance(kind, type) and getattr(kind, "type", None) in (ModelType.GENERAL, ModelType.TRADITIONAL)


def is_model(name: str) -> bool:
    """Whether a teacher's name is a RecBole model's, or the dotted path of a class of one's own that is one.

    Raises:
        ValueError: a dotted path cannot be imported.
    """
    if not from_outside(name):
        return True
    kind = None if name.startswith(IMPORTED) else imported(name)
    return isinstance(kind, type) and issubclass(kind, AbstractRecommender)


def model_named(name: str) -> str:
    """What RecBole calls a teacher that is a model; a class that is named by its path is made known to RecBole.

    Raises:
        ValueError: another model has the name of the class.
    """
    if not from_outside(name):
        return name
    kind = imported(name)
    if _of_name(kind.__name__) is not kind:
        register_model(kind)
    return str(kind.__name__)


def imported(path: str) -> Any:
    """What a dotted path names.

    Raises:
        ValueError: it cannot be imported.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"teacher {path!r} cannot be imported: {error}") from error


def may_teach(name: str) -> bool:
    """Whether a model of this name may be a teacher: a model of any type that learns from interactions.

    >>> may_teach("BPR"), may_teach("SASRec"), may_teach("FM"), may_teach("HetComp"), may_teach("NoSuch")
    (True, True, True, False, False)
    """
    if _is_general(name):
        return _role(name) == TEACHER
    return name not in _CANNOT_TEACH and _type_of(name) in _TEACHING_TYPES


def why_not(name: str) -> str:
    """Why a model of RecBole's may be no teacher; nothing where there is no such model, or it may.

    >>> why_not("S3Rec")
    ': it is trained in two runs, the first of them a pretraining'
    """
    if name in _CANNOT_TEACH:
        return f": {_CANNOT_TEACH[name]}"
    kind = _type_of(name)
    if kind is None or kind in _TEACHING_TYPES:
        return ""
    return f": it is a {kind.name.lower()} model; bring its rankings by hetcomp import-teacher"


def _type_of(name: str) -> ModelType | None:
    return getattr(_of_name(name), "type", None)


def _of_name(name: str) -> Any:
    """The class that RecBole finds under a name, or None."""
    try:
        return get_model(name)
    except (ValueError, AttributeError, ImportError):
        return None


def teaching_models() -> list[str]:
    """Names of all models that may teach and can be imported here."""
    folder = Path(recbole.__file__).parent / "model"
    names = [
        name
        for family in _OTHER_FAMILIES
        for file in sorted((folder / family).glob("[!_]*.py"))
        for name in _classes_in(f"recbole.model.{family}.{file.stem}")
    ]
    return sorted({*models_of_role(TEACHER), *(name for name in names if may_teach(name))})


def _classes_in(module: str) -> list[str]:
    """The model of a module of RecBole's: the class that is called as the file; none where it cannot be imported."""
    try:
        found = vars(importlib.import_module(module))
    except ImportError:
        return []
    return [name for name in found if name.lower() == module.rpartition(".")[2]]


def _role(name: str) -> str:
    """RecBole's own may all teach, but for the random one."""
    if name in _TEACHES_NOTHING:
        return LISTS
    return _REGISTERED[name].role if name in _REGISTERED else TEACHER


def may_be_taught(name: str) -> bool:
    """Whether a general recommender may be a student's backbone: it may teach, and is not fitted in one step.

    >>> may_be_taught("BPR"), may_be_taught("EASE"), may_be_taught("Random")
    (True, False, False)
    """
    return _is_general(name) and _role(name) == TEACHER and _type_of(name) != ModelType.TRADITIONAL


def role_in_words(name: str) -> str:
    """What a model may be in a run.

    >>> role_in_words("EASE"), role_in_words("BPR")
    ('may teach', 'may teach, may be taught')
    """
    if not _is_general(name):
        kind = _type_of(name)
        return "may teach" if kind is None else f"{kind.name.lower()}, may teach"
    words = {STUDENT: "is a way to teach: --model", LISTS: "learns nothing", TEACHER: "may teach"}
    return words[_role(name)] + (", may be taught" if may_be_taught(name) else "")


def models_of_role(role: str) -> list[str]:
    """Names of the general recommenders of one role."""
    return [name for name in general_models() if _role(name) == role]
