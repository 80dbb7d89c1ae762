"""What documents say of the settings, written from their declarations: property files and ``docs/settings.md``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_hetcomp.declared import Declaration, Settings, field_types, suggestion, type_name
from recbole_hetcomp.recbole_bridge.registry import STUDENT, TEACHER, registered
from recbole_hetcomp.settings import GROUPS, HetCompSettings

_COLUMN = 32  # where a property file's comments begin
_SHORT = 60  # longest mapping on one line
_EXPLAINED = "Written from the declared settings by `hetcomp settings --write`; change them there."


def shared_properties() -> str:
    """``properties/model/HetComp.yaml``: every setting of a run, group by group."""
    blocks = [f"# {_EXPLAINED}"]
    for group in GROUPS:
        blocks.append("\n".join([f"# {_title(group)}", *_lines(group, _own_names(group))]))
    return "\n\n".join(blocks) + "\n"


def model_properties(name: str) -> str:
    """``properties/model/<name>.yaml`` of a method, or of a teacher of the plugin, with settings of its own."""
    own, shared = _settings_of(name)
    parts = [f"# {_first_sentence(registered()[name].model)} {_EXPLAINED}"]
    if registered()[name].role == STUDENT:
        parts[0] += "\n# Settings that are not here are those of HetComp.yaml."
    if own is not None:
        parts.append("\n".join(_lines(own, own.names())))
    if shared:
        declared, types = HetCompSettings.declarations(), field_types(HetCompSettings)
        parts.append("\n".join(_line(key, value, types[key], declared[key]) for key, value in shared.items()))
    return "\n\n".join(parts) + "\n"


def settings_page() -> str:
    """``docs/settings.md``."""
    parts = [
        "# Settings",
        f"<!-- {_EXPLAINED} -->",
        "Every setting of a run, with its default. Give them as `--name=value`, in a YAML file (`--config_files`),\n"
        "or in `config_dict`; RecBole's own settings keep their meaning. A name that is misspelt is an error\n"
        "that names the closest one. Names are those of the [method](method.md).",
        "Settings marked *place* say where and how a run works. No stored number depends on them.",
    ]
    for group in GROUPS:
        parts += [f"## {_title(group)}", _table(group, _own_names(group), group.defaults())]
    parts.append("## Methods\n\nWhat a method has of its own, and its defaults of the settings above.")
    for name, entry in registered().items():
        own, shared = _settings_of(name)
        if entry.role == STUDENT and (own is not None or shared):
            parts.append(f"### {name}\n\n{_first_sentence(entry.model)}")
            if own is not None:
                parts.append(_table(own, own.names(), own.defaults()))
            if shared:
                given = ", ".join(f"`{key}: {_value(value)}`" for key, value in shared.items())
                parts.append(textwrap.fill(f"Defaults: {given}.", 118, break_long_words=False, break_on_hyphens=False))
    parts.append("## Teachers\n\nSettings of the plugin's own teachers, given in `teacher_config`.")
    for name, entry in registered().items():
        own, _ = _settings_of(name)
        if entry.role == TEACHER and own is not None:
            parts += [f"### {name}\n\n{_first_sentence(entry.model)}", _table(own, own.names(), own.defaults())]
    return "\n\n".join(parts) + "\n"


def written_files(root: Path) -> dict[Path, str]:
    """The files of a checkout that are written from declarations, and what they ought to hold.

    Args:
        root: the checkout.
    """
    folder = root / "properties" / "model"
    files = {folder / "HetComp.yaml": shared_properties(), root / "docs" / "settings.md": settings_page()}
    for name, entry in registered().items():
        own, shared = _settings_of(name)
        ours = entry.model.__module__.startswith("recbole_hetcomp.")
        if ours and name != "HetComp" and (own is not None or shared):
            files[folder / f"{name}.yaml"] = model_properties(name)
    return files


def described(name: str) -> str:
    """What is known of one setting, over all groups and methods.

    Raises:
        KeyError: there is none of this name; names the closest.
    """
    groups: dict[str, type[Settings]] = {"every run": HetCompSettings}
    groups.update({model: own for model in registered() if (own := _settings_of(model)[0]) is not None})
    found = [
        f"{where}: {declared.meaning} ({type_name(field_types(group)[name])}; default {_value(group.defaults()[name])}"
        f"{_allowed(declared)})"
        for where, group in groups.items()
        if (declared := group.declarations().get(name)) is not None
    ]
    if not found:
        known = {entry for group in groups.values() for entry in group.names()}
        raise KeyError(f"unknown setting {name!r}{suggestion(name, sorted(known))}")
    return "\n".join(found)


def _settings_of(name: str) -> tuple[type[Settings] | None, Mapping[str, Any]]:
    """A model's own settings, and its defaults of shared ones."""
    model: Any = registered()[name].model
    return getattr(model, "own_settings", None), getattr(model, "own_defaults", {})


def _own_names(group: type[Settings]) -> list[str]:
    """A group's settings that no group before it has listed."""
    earlier = {name for other in GROUPS[: GROUPS.index(group)] for name in other.names()}
    return [name for name in group.names() if name not in earlier]


def _title(group: type[Settings]) -> str:
    return f"{group.__name__}: {_first_sentence(group)[0].lower()}{_first_sentence(group)[1:].rstrip('.')}"


def _first_sentence(kind: type) -> str:
    text = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return text


def _lines(group: type[Settings], names: list[str]) -> list[str]:
    types, declared, defaults = field_types(group), group.declarations(), group.defaults()
    return [_line(name, defaults[name], types[name], declared[name]) for name in names]


def _line(name: str, value: Any, kind: Any, declared: Declaration) -> str:
    comment = f"# ({type_name(kind)}) {declared.meaning}"
    if isinstance(value, Mapping) and len(_value(value)) > _SHORT:
        entries = "\n".join(f"  {key}: {_value(entry)}" for key, entry in value.items())
        return f"{f'{name}:':{_COLUMN}}{comment}\n{entries}"
    return f"{f'{name}: {_value(value)}':{_COLUMN - 1}} {comment}"


def _value(value: Any) -> str:
    """A value as YAML, on one line."""
    if value is None:
        return "~"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(entry)}" for key, entry in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, bool) is False else str(value)


def _table(group: type[Settings], names: list[str], defaults: Mapping[str, Any]) -> str:
    types, declarations = field_types(group), group.declarations()
    rows = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name in names:
        declared = declarations[name]
        note = " *place*" if declared.place else ""
        rows.append(
            f"| `{name}` | {type_name(types[name])} | `{_value(defaults[name])}` | {declared.meaning}"
            f"{_allowed(declared, ' Allowed: ', '.')}{note} |"
        )
    return "\n".join(rows)


def _allowed(declared: Declaration, before: str = "; allowed: ", after: str = "") -> str:
    """The rule of a setting, in words; nothing where there is none."""
    rules = []
    if declared.one_of is not None:
        rules.append(", ".join(map(str, declared.one_of)))
    for word, limit in (("at least", declared.at_least), ("above", declared.above), ("at most", declared.at_most)):
        if limit is not None:
            rules.append(f"{word} {limit:g}")
    return f"{before}{', '.join(rules)}{after}" if rules else ""
