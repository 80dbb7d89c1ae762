"""Search spaces: YAML files, RecBole's ``.hyper`` files, and the points drawn from them.

A YAML space has a line a parameter, ``name: {kind: values}``; a name with dots reaches into a setting that is a
mapping (``teacher_config.LightGCN.n_layers``). Nothing of either format is ever executed.
"""

from __future__ import annotations

import ast
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_hetcomp.declared import suggestion
from recbole_hetcomp.files import properties_dir
from recbole_hetcomp.values import read_yaml

_BOUNDS = {"uniform": 2, "loguniform": 2, "quniform": 3, "qloguniform": 3, "randint": 2, "lograndint": 2, "qrandint": 3}
KINDS = ("choice", *_BOUNDS)
_HYPER_KINDS = ("choice", "uniform", "quniform", "loguniform")
_MUTABLE = ("learning_rate", "weight_decay")  # of a file without marks


@dataclass(frozen=True)
class Parameter:
    """One searched setting.

    Attributes:
        name: the setting; dots reach into mappings.
        kind: one of ``KINDS``, with Ray Tune's meaning (``randint`` excludes its upper bound).
        values: the options of a choice; otherwise lower bound, upper bound and, for ``q…``, the step.
        mutable: whether population-based training may change it while a model trains.

    Raises:
        ValueError: the kind is unknown, or the values do not fit it.
    """

    name: str
    kind: str
    values: tuple[Any, ...]
    mutable: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: kind {self.kind!r} is not allowed: one of {', '.join(KINDS)}")
        if self.kind == "choice":
            if not self.values:
                raise ValueError(f"{self.name}: choice needs at least one option")
            return
        if len(self.values) != _BOUNDS[self.kind] or not all(_is_number(value) for value in self.values):
            raise ValueError(f"{self.name}: {self.kind} needs {_BOUNDS[self.kind]} numbers, not {list(self.values)}")
        if not self.values[0] < self.values[1]:
            raise ValueError(f"{self.name}: lower bound {self.values[0]} is not below {self.values[1]}")
        if "log" in self.kind and not self.values[0] > 0:
            raise ValueError(f"{self.name}: lower bound {self.values[0]} of {self.kind} must be greater than 0")

    def domain(self) -> Any:
        """The parameter as a Ray Tune domain; options that are not scalars as JSON text."""
        from ray import tune

        if self.kind == "choice":
            return tune.choice([_encoded(value) for value in self.values])
        return getattr(tune, self.kind)(*self.values)

    def decode(self, value: Any) -> Any:
        """What RecBole gets for a value that Ray drew."""
        if isinstance(value, np.generic):
            value = value.item()
        if self.kind == "choice":
            return next((option for option in self.values if _same(_encoded(option), value)), value)
        return value

    def clip(self, value: Any) -> Any:
        """A number within the bounds; options as they are."""
        if self.kind == "choice":
            return value
        low, high = self.values[:2]
        return type(value)(min(max(value, low), high - 1 if self.kind in ("randint", "lograndint") else high))


Space = tuple[Parameter, ...]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _encoded(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def read_space(file: Path | str) -> Space:
    """A search space from a file: RecBole's format where its name ends in ``.hyper`` or ``.test``, else YAML.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not understood; names it.
    """
    path = Path(file)
    text = path.read_text(encoding="utf-8")
    try:
        return parse_hyper(text) if path.suffix in (".hyper", ".test") else parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"search space {path}: {error}") from error


def shipped_space(model: str) -> Path:
    """The space that the package has for a model.

    Raises:
        FileNotFoundError: it has none; names those that it has.
    """
    folder = properties_dir() / "tune"
    file = folder / f"{model}.yaml"
    if not file.is_file():
        names = sorted(found.stem for found in folder.glob("*.yaml"))
        raise FileNotFoundError(
            f"there is no search space for {model!r}{suggestion(model, names) or '.'} Give --space=FILE. "
            f"Spaces come with: {', '.join(names)}"
        )
    return file


def parse_yaml(text: str) -> Space:
    """A space in YAML.

    >>> parse_yaml("K: {choice: [50, 100]}")
    (Parameter(name='K', kind='choice', values=(50, 100), mutable=False),)
    """
    content = read_yaml(text)
    if not isinstance(content, Mapping) or not content:
        raise ValueError("a mapping {name: {kind: values}} with at least one name is needed")
    return tuple(_from_entry(str(name), entry) for name, entry in content.items())


def _from_entry(name: str, entry: Any) -> Parameter:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{name}: {entry!r} is not of the form {{kind: values}}, e.g. {{choice: [1, 2]}}")
    rest = dict(entry)
    mutable = rest.pop("mutable", False)
    if len(rest) != 1 or not isinstance(mutable, bool):
        raise ValueError(f"{name}: one kind of {', '.join(KINDS)}, and mutable True or False, not {dict(entry)}")
    kind, values = next(iter(rest.items()))
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{name}: {kind} needs a list, not {values!r}")
    return Parameter(name, str(kind), tuple(values), mutable)


def parse_hyper(text: str) -> Space:
    """A space in RecBole's ``.hyper`` format: ``name kind values`` a line, as RecBole's HyperTuning understands it.

    As in RecBole the bounds of ``loguniform`` are natural logarithms, and lines of fewer than three words are skipped.

    >>> parse_hyper("embedding_size choice [8, 16]")
    (Parameter(name='embedding_size', kind='choice', values=(8, 16), mutable=False),)
    >>> parse_hyper("learning_rate loguniform -8, 0")[0].values[1]
    1.0
    """
    space = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) >= 3:
            space.append(_from_line(words[0], words[1], "".join(words[2:])))
    if not space:
        raise ValueError("no line of the form 'name kind values' in it")
    return tuple(space)


def _from_line(name: str, kind: str, text: str) -> Parameter:
    if kind not in _HYPER_KINDS:
        raise ValueError(f"{name}: kind {kind!r} is not allowed: one of {', '.join(_HYPER_KINDS)}")
    try:
        values = ast.literal_eval(text if text.startswith(("[", "(")) else f"({text},)")
        numbers = tuple(values)
    except (ValueError, SyntaxError, TypeError) as error:
        raise ValueError(f"{name}: {text!r} is not a list of values") from error
    if kind == "choice":
        return Parameter(name, kind, tuple(_literal(value) for value in numbers), name in _MUTABLE)
    if kind == "loguniform" and all(_is_number(value) for value in numbers):
        numbers = tuple(math.exp(value) for value in numbers)
    return Parameter(name, kind, numbers, name in _MUTABLE)


def _literal(value: Any) -> Any:
    """RecBole's files write lists within a list as text: ``['[64,64]', '[32]']``."""
    if isinstance(value, str) and value[:1] in ("[", "(", "{"):
        return ast.literal_eval(value)
    return value


def domains(space: Space) -> dict[str, Any]:
    """The space for Ray Tune."""
    return {parameter.name: parameter.domain() for parameter in space}


def decoded(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """What RecBole gets for a point that Ray drew, by parameter name."""
    return {parameter.name: parameter.decode(point[parameter.name]) for parameter in space if parameter.name in point}


def random_points(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    """Points of the space, drawn independently: the same for the same seed.

    >>> space = parse_yaml("K: {choice: [50, 100, 200]}")
    >>> random_points(space, 2, seed=1) == random_points(space, 2, seed=1)
    True
    """
    generator = np.random.RandomState(seed)
    all_domains = domains(space)
    return [
        {name: _plain(domain.sample(random_state=generator)) for name, domain in all_domains.items()}
        for _ in range(count)
    ]


def grid_points(space: Space) -> list[dict[str, Any]]:
    """All combinations of a space of choices.

    Raises:
        ValueError: a parameter is not a choice.

    >>> [point["K"] for point in grid_points(parse_yaml("K: {choice: [50, 100]}"))]
    [50, 100]
    """
    endless = [parameter.name for parameter in space if parameter.kind != "choice"]
    if endless:
        raise ValueError(f"search=grid needs a space of choices only; {', '.join(endless)} is none")
    options = [[_encoded(value) for value in parameter.values] for parameter in space]
    return [dict(zip((parameter.name for parameter in space), values)) for values in itertools.product(*options)]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def merged(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with a point's values in them; dots reach into mappings, which are copied.

    >>> merged({"teacher_config": {"BPR": {"epochs": 2}}}, {"teacher_config.BPR.seed": 1, "K": 9})
    {'teacher_config': {'BPR': {'epochs': 2, 'seed': 1}}, 'K': 9}
    """
    result = dict(settings)
    for name, value in values.items():
        *path, last = name.split(".")
        inner = result
        for part in path:
            inner[part] = dict(inner.get(part) or {})
            inner = inner[part]
        inner[last] = value
    return result
