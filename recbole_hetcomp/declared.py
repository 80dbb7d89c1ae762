"""How a setting is declared: one field with its type, default, allowed values and meaning.

What reads settings, checks them, or writes about them (property files, ``docs/settings.md``, ``hetcomp settings``)
reads the declaration; nothing states a default or an allowed value a second time.
"""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import cattrs

from recbole_hetcomp.values import as_plain, read_value

_METADATA = "setting"


@attrs.frozen
class Declaration:
    """What is known of a setting besides its name, type and default.

    Attributes:
        meaning: one sentence.
        at_least: the smallest value, or None.
        above: what it must be greater than, or None.
        at_most: the greatest value, or None.
        one_of: the allowed values, or None.
        place: whether it only says where and how loudly a run works; no stored number depends on it.
    """

    meaning: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    one_of: tuple[Any, ...] | None = None
    place: bool = False

    def refusal(self, value: Any) -> str | None:
        """Why a value is not allowed, or None if it is."""
        numbers = [entry for entry in (value if isinstance(value, tuple) else (value,)) if isinstance(entry, float)]
        if not all(map(math.isfinite, numbers)):
            return "finite numbers are needed" if isinstance(value, tuple) else "a finite number is needed"
        if self.one_of is not None and value not in self.one_of:
            return f"one of {', '.join(map(str, self.one_of))}"
        if self.at_least is not None and value < self.at_least:
            return f"at least {self.at_least:g}"
        if self.above is not None and not value > self.above:
            return f"it must be greater than {self.above:g}"
        if self.at_most is not None and not value <= self.at_most:
            return f"at most {self.at_most:g}"
        return None


def setting(default: Any, meaning: str, **rules: Any) -> Any:
    """Declare a setting: ``K: int = setting(200, "Length of the taught list.", at_least=1)``.

    Args:
        default: its default.
        meaning: one sentence.
        rules: of :class:`Declaration`: ``at_least``, ``above``, ``at_most``, ``one_of``, ``place``.
    """
    declaration = Declaration(meaning, **rules)
    mutable = isinstance(default, (dict, list))
    return attrs.field(
        default=attrs.Factory(lambda: copy.deepcopy(default)) if mutable else default,
        validator=_check_value,
        metadata={_METADATA: declaration},
        kw_only=True,
    )


def _check_value(instance: Any, field: Any, value: Any) -> None:
    if value is None:
        return
    why = field.metadata[_METADATA].refusal(value)
    if why is not None:
        raise ValueError(f"{field.name}={value!r} is not allowed: {why}")


S = TypeVar("S", bound="Settings")

settings_group = attrs.frozen(slots=False)  # slots would keep a class from having several groups as its bases
"""Decorator of a group of settings."""


@settings_group
class Settings:
    """A group of settings: a subclass decorated with :data:`settings_group` whose fields are made by :func:`setting`.

    A group may inherit from others; ``check`` looks at what several settings say together.

    >>> @settings_group
    ... class Mine(Settings):
    ...     strength: float = setting(1.0, "How strong.", above=0)
    >>> Mine.read({"strength": "2e-1"})
    Mine(strength=0.2)
    >>> Mine(strength=0)
    Traceback (most recent call last):
    ValueError: strength=0 is not allowed: it must be greater than 0
    """

    if TYPE_CHECKING:

        def __init__(self, **values: Any) -> None: ...

    def __attrs_post_init__(self) -> None:
        """Check what several settings say together."""
        self.check()

    def check(self) -> None:
        """Raise ValueError where settings do not fit each other."""

    @classmethod
    def names(cls) -> list[str]:
        """Names of all settings."""
        return [field.name for field in _fields(cls)]

    @classmethod
    def declarations(cls) -> dict[str, Declaration]:
        """What is declared of each setting."""
        return {field.name: field.metadata[_METADATA] for field in _fields(cls)}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The default of each setting, as plain data."""
        return {field.name: as_plain(_default_of(field)) for field in _fields(cls)}

    @classmethod
    def places(cls) -> set[str]:
        """Names of the settings on which no stored number depends."""
        return {name for name, declared in cls.declarations().items() if declared.place}

    @classmethod
    def text_kinds(cls) -> dict[str, Any]:
        """The type of each setting that holds a text."""
        return {name: kind for name, kind in field_types(cls).items() if _holds_text(kind)}

    @classmethod
    def read(cls: type[S], values: Any) -> S:
        """The settings from a mapping, or a RecBole Config, that has a value for each of them.

        Raises:
            TypeError: a value has the wrong type; names the setting, the value and the type.
            ValueError: a value is not allowed.
        """
        return cls(**{field.name: convert(field.name, values[field.name], field.type) for field in _typed(cls)})

    def plain(self) -> dict[str, Any]:
        """All settings as plain data."""
        return {name: as_plain(getattr(self, name)) for name in self.names()}


def default(group: type[Settings], name: str) -> Any:
    """The default of one setting.

    >>> from recbole_hetcomp.lesson_settings import Consensus
    >>> default(Consensus, "T_r")
    30.0
    """
    return copy.deepcopy(_default_of(getattr(_fields(group), name)))


def allowed(group: type[Settings], name: str) -> tuple[Any, ...]:
    """The allowed values of a setting that has a fixed number of them."""
    values = group.declarations()[name].one_of
    assert values is not None
    return values


def type_name(kind: Any) -> str:
    """A type as documents and messages write it.

    >>> from typing import Optional
    >>> type_name(Optional[float]), type_name(tuple[int, ...])
    ('float or None', 'list of int')
    """
    arguments: tuple[Any, ...] = getattr(kind, "__args__", ())
    if type(None) in arguments:
        return f"{type_name(next(entry for entry in arguments if entry is not type(None)))} or None"
    origin = getattr(kind, "__origin__", kind)
    if origin is tuple:
        return f"list of {type_name(arguments[0])}"
    return "dict" if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping" else kind.__name__


def field_types(group: type[Settings]) -> dict[str, Any]:
    """The type of each setting."""
    return {field.name: field.type for field in _typed(group)}


def _fields(group: Any) -> Any:
    return attrs.fields(group)


def _typed(group: Any) -> Any:
    return attrs.fields(attrs.resolve_types(group))


def _default_of(field: Any) -> Any:
    return field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]


# -- reading values ---------------------------------------------------------------------------------------------------


def convert(name: str, value: Any, kind: Any) -> Any:
    """A value as the type that a setting is declared with; text, as a command line gives it, is read as YAML.

    Raises:
        TypeError: it is not of the type.
    """
    optional = type(None) in getattr(kind, "__args__", ())
    if isinstance(value, str) and not _holds_text(kind):
        value = read_value(value)
    if value is None or (optional and value == "None"):  # YAML has None as text
        if optional:
            return None
        if type_name(kind) == "dict":
            return {}
        raise TypeError(f"{name} is not set: it needs a value of type {type_name(kind)}")
    try:
        return _converter.structure(value, kind)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name}={value!r} is not of type {type_name(kind)}: {error}") from error


def _holds_text(kind: Any) -> bool:
    return kind is str or (
        str in getattr(kind, "__args__", ())
        and getattr(kind, "__origin__", None) is not tuple
        and type_name(kind) != "dict"
    )


def _integer(value: Any, _: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise TypeError("a whole number is needed")
    return int(value)


def _number(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise TypeError("a finite number is needed")
    return float(value)


def _flag(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("True or False is needed")
    return value


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is needed")
    return value


def _entries(value: Any, kind: Any) -> tuple[Any, ...]:
    entries = value if isinstance(value, (list, tuple)) else [value]
    return tuple(_converter.structure(entry, kind.__args__[0]) for entry in entries)


def _mapping(value: Any, kind: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("a mapping {name: value} is needed")
    inner = kind.__args__[1]
    return {
        _text(key, str): copy.deepcopy(entry)
        if inner is Any
        else _converter.structure({} if entry is None else entry, inner)
        for key, entry in value.items()
    }


def _is(*origins: Any) -> Any:
    return lambda kind: getattr(kind, "__origin__", None) in origins


_converter = cattrs.Converter(detailed_validation=False)
for _kind, _hook in ((int, _integer), (float, _number), (bool, _flag), (str, _text)):
    _converter.register_structure_hook(_kind, _hook)
_converter.register_structure_hook_func(_is(tuple), _entries)
_converter.register_structure_hook_func(_is(dict, Mapping), _mapping)


# -- names ------------------------------------------------------------------------------------------------------------


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name most like ``name``, whatever its case, or None.

    >>> closest("discrepency_gain", ["discrepancy_gain", "K_D"])
    'discrepancy_gain'
    """
    by_lower = {entry.lower(): entry for entry in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """What an error message adds after an unknown name: the closest known one, or nothing.

    >>> suggestion("LightGCM", ["BPR", "LightGCN"])
    "; did you mean 'LightGCN'?"
    """
    near = closest(name, known)
    return f"; did you mean {near!r}?" if near else ""


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The closest known name, and all of them."""
    return f"{suggestion(name, known) or '.'} Allowed: {', '.join(known)}."
