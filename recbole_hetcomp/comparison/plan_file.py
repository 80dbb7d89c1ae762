"""Reads a benchmark's config file: unknown keys, wrong values and names that do not fit together are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from recbole_hetcomp.comparison.plan import Backbone, BenchmarkPlan, Entry, Students, Teachers, Tuning
from recbole_hetcomp.comparison.trials import space_of
from recbole_hetcomp.declared import suggestion
from recbole_hetcomp.files import properties_dir
from recbole_hetcomp.recbole_bridge.property_files import load_yaml, read_properties
from recbole_hetcomp.values import read_value

SEARCHES = ("random",)
_SETTINGS = "settings"  # the key under which None is a value
_KINDS = {"int": (int, "a whole number is needed"), "str": (str, "text is needed"), "bool": (bool, "True or False")}


def read_plan(file: str | Path, changes: Sequence[str] = ()) -> BenchmarkPlan:
    """Read a benchmark's config file.

    A file may say ``extends: <another>``: then it holds only what it adds to that one or changes in it. Mappings are
    merged key by key, everything else is replaced; ``~`` in place of a mapping leaves it out.

    Args:
        file: the file, or the name of one in ``properties/benchmark``; a file that is extended may also be named by
            its path from the folder of the file that extends it.
        changes: changes to it as ``key=value``, the key with dots, the value as YAML: ``settings.topk=[10]``. A
            mapping is replaced, or left out with ``~``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: a key is unknown, or a value is not allowed.
    """
    given = _load(_find(Path(file)))
    for change in changes:
        _change(given, change)
    return make_plan(given)


def make_plan(given: Mapping[str, Any]) -> BenchmarkPlan:
    """A plan from the content of a config file.

    Raises:
        ValueError, TypeError: a key is unknown, or a value is not allowed.
    """
    plan = _build(BenchmarkPlan, given, "")
    teachers = _build(Teachers, plan.teachers, "teachers")
    students = _build(Students, plan.students, "students")
    students = replace(
        students,
        backbones={name: _backbone(name, part) for name, part in _named(students.backbones, "students.backbones")},
        methods={name: _entry(name, part, "students.methods") for name, part in _named(students.methods, "methods")},
    )
    tuning = _build(Tuning, given.get("tuning") or {}, "tuning")
    plan = replace(
        plan,
        seeds=_integers(plan.seeds, "seeds"),
        teachers=replace(teachers, models=_names(teachers.models, "teachers.models")),
        students=students,
        baselines={name: _entry(name, part, "baselines") for name, part in _named(plan.baselines, "baselines")},
        tuning=replace(tuning, dimensions=_integers(tuning.dimensions, "tuning.dimensions", empty=True)),
        settings={**read_properties("overall"), **plan.settings},
    )
    _check(plan)
    return plan


def _find(file: Path, folder: Path | None = None) -> Path:
    """A config file by its path, from a folder if one is given, or by the name of one that the package brings."""
    beside = file if folder is None else folder / file
    if beside.is_file():
        return beside
    shipped = properties_dir() / "benchmark"
    known = sorted(entry.stem for entry in shipped.glob("*.yaml"))
    if str(file) not in known:
        raise FileNotFoundError(
            f"benchmark config {str(file)!r} does not exist{suggestion(str(file), known)}. "
            f"The package brings {', '.join(known)}."
        )
    return shipped / f"{file}.yaml"


def _load(file: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The content of a config file over that of the one it extends; ``above`` are the files that lead to it."""
    if file.resolve() in above:
        raise ValueError(f"benchmark config {file} extends itself")
    given = load_yaml(file)
    name = given.pop("extends", None)
    if name is None:
        return given
    return _over(_load(_find(Path(str(name)), file.parent), (*above, file.resolve())), given)


def _over(base: Mapping[str, Any], more: Mapping[str, Any], of_settings: bool = False) -> dict[str, Any]:
    """A mapping over another: what are mappings in both are merged, None leaves one out, everything else is replaced.

    Args:
        base: the one below.
        more: the one above.
        of_settings: whether they hold settings of models: there None is a value.

    >>> _over({"students": {"methods": {"RD": {}}}, "seeds": [1]}, {"students": {"methods": {"CD": {}}}, "seeds": [2]})
    {'students': {'methods': {'RD': {}, 'CD': {}}}, 'seeds': [2]}
    >>> _over({"baselines": {"Pop": {}, "EASE": {"seeds": [1]}}}, {"baselines": {"EASE": None}})
    {'baselines': {'Pop': {}}}
    """
    result = dict(base)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        _put(result, key, _over(result[key], value, of_settings or key == _SETTINGS) if both else value, of_settings)
    return result


def _put(target: dict[str, Any], key: str, value: Any, of_settings: bool) -> None:
    """Put a value in place of what is there; None leaves a mapping out, but not among settings."""
    if value is None and isinstance(target.get(key), Mapping) and not of_settings:
        del target[key]
    else:
        target[key] = value


def _change(given: dict[str, Any], change: str) -> None:
    key, sign, value = change.partition("=")
    if not sign:
        raise ValueError(f"{change!r} is not understood: a change is given as key=value")
    *folders, last = key.split(".")
    for name in folders:
        inner = given.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{change!r} is not understood: {name} holds no keys")
        given = inner
    _put(given, last, read_value(value), _SETTINGS in folders)


def _build(kind: Any, given: Any, where: str) -> Any:
    """A dataclass from a mapping whose keys are its fields."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{where or 'the config'} is {given!r}: a mapping of {', '.join(_keys(kind))} is needed")
    for key in given:
        if key not in _keys(kind):
            place = f" in {where}" if where else ""
            near = suggestion(str(key), _keys(kind))
            raise ValueError(f"unknown key {key!r}{place}{near} Allowed: {', '.join(_keys(kind))}.")
    for entry in fields(kind):
        required = entry.default is MISSING and entry.default_factory is MISSING
        if required and given.get(entry.name) is None:
            raise ValueError(f"{where + '.' if where else ''}{entry.name} is not set")
    set_ones = {key: value for key, value in given.items() if value is not None}
    for entry in fields(kind):
        wanted = _KINDS.get(str(entry.type).removesuffix(" | None"))
        value = set_ones.get(entry.name)
        if wanted and value is not None and type(value) is not wanted[0]:
            place = f"{where}." if where else ""
            raise TypeError(f"{place}{entry.name}={value!r} is not allowed: {wanted[1]}")
    return kind(**set_ones)


def _keys(kind: Any) -> list[str]:
    return [entry.name for entry in fields(kind)]


def _named(given: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{where} is {given!r}: a mapping {{name: {{…}}}} is needed")
    return [(str(name), part or {}) for name, part in given.items()]


def _backbone(name: str, given: Any) -> Backbone:
    where = f"students.backbones.{name}"
    made = _build(Backbone, given, where)
    methods = None if made.methods is None else _own_settings(made.methods, f"{where}.methods")
    return replace(made, dimensions=_integers(made.dimensions, f"{where}.dimensions"), methods=methods)


def _own_settings(given: Any, where: str) -> dict[str, Mapping[str, Any]]:
    """Methods with their settings, of names alone or of a mapping."""
    if not isinstance(given, Mapping):
        return {name: {} for name in _names(given, where)}
    named = dict(_named(given, where))
    for name, settings in named.items():
        if not isinstance(settings, Mapping):
            raise TypeError(f"{where}.{name} is {settings!r}: a mapping of settings is needed")
    return named


def _entry(name: str, given: Any, where: str) -> Entry:
    made = _build(Entry, given, f"{where}.{name}")
    try:
        space_of(made.space)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}.{name}.space: {error}") from error
    dimensions, seeds = (
        None if given is None else _integers(given, f"{where}.{name}.{key}")
        for key, given in (("dimensions", made.dimensions), ("seeds", made.seeds))
    )
    return replace(made, dimensions=dimensions, seeds=seeds)


def _integers(given: Any, where: str, empty: bool = False) -> tuple[int, ...]:
    values = [given] if isinstance(given, int) else list(given)
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values):
        raise TypeError(f"{where}={given!r} is not allowed: whole numbers of at least 0 are needed")
    if not values and not empty:
        raise ValueError(f"{where} is empty: at least one number is needed")
    if len(set(values)) < len(values):
        raise ValueError(f"{where}={given!r} names a number twice")
    return tuple(values)


def _names(given: Any, where: str) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else list(given)
    if len(set(names)) < len(names):
        raise ValueError(f"{where}={given!r} names one twice")
    return tuple(map(str, names))


def _check(plan: BenchmarkPlan) -> None:
    for name, value, least in (
        ("workers", plan.workers, 1),
        ("threads", plan.threads, 1),
        ("tuning.trials", plan.tuning.trials, 0),
        ("tuning.finalists", plan.tuning.finalists, 1),
        ("tuning.seed", plan.tuning.seed, 0),
        ("teachers.seed", plan.teachers.seed, 0),
        ("split_seed", plan.split_seed, 0),
    ):
        if value is not None and value < least:
            raise ValueError(f"{name}={value} is not allowed: at least {least}")
    if plan.tuning.search not in SEARCHES:
        raise ValueError(f"tuning.search={plan.tuning.search!r} is not allowed: one of {', '.join(SEARCHES)}")
    for name, entry in {**plan.students.methods, **plan.baselines}.items():
        odd = [seed for seed in entry.seeds or () if seed not in plan.seeds]
        if odd:
            raise ValueError(f"{name}.seeds names {odd[0]}, which is none of seeds={list(plan.seeds)}")
    methods = plan.students.methods
    for name, backbone in plan.students.backbones.items():
        for method in backbone.methods or ():
            _known(method, methods, f"students.backbones.{name}.methods")
    for name, entry in methods.items():
        if entry.like is not None:
            _check_ablation(name, entry, methods)
    for name, entry in plan.baselines.items():
        if entry.like is not None or entry.dimensions is not None:
            raise ValueError(f"baselines.{name} may not have like or dimensions: only methods do")
    shared = sorted(set(methods) & {*plan.baselines, *plan.teachers.models, "TeacherEnsemble"})
    if shared:
        raise ValueError(f"method {shared[0]!r} has the name of another row: call it otherwise and give its model")


def _check_ablation(name: str, entry: Entry, methods: Mapping[str, Entry]) -> None:
    where = f"students.methods.{name}"
    assert entry.like is not None
    _known(entry.like, methods, f"{where}.like")
    if methods[entry.like].like is not None:
        raise ValueError(f"{where}.like={entry.like!r} is itself like another method")
    if entry.space or entry.model:
        raise ValueError(
            f"{where} is like {entry.like!r}, whose model and tuned settings it takes: give it settings only"
        )


def _known(name: str, known: Mapping[str, Any], where: str) -> None:
    if name not in known:
        raise ValueError(f"{where} names {name!r}{suggestion(name, known)} Allowed: {', '.join(known)}.")
