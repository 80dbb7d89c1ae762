"""The YAML files in ``properties/``, and RecBole's own, read as RecBole reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from recbole_hetcomp.files import properties_dir
from recbole_hetcomp.values import read_yaml


def read_properties(*parts: str) -> dict[str, Any]:
    """A property file of the plugin as a dict, e.g. ``read_properties("model", "CML")``; empty where there is none."""
    file = properties_dir().joinpath(*parts[:-1], parts[-1] + ".yaml")
    return load_yaml(file) if file.is_file() else {}


def read_preset(name: str) -> dict[str, Any]:
    """A set of defaults as published; one that says ``extends: <another>`` holds only what it changes in that one."""
    given = read_properties("preset", name)
    base = given.pop("extends", None)
    return given if base is None else {**read_preset(base), **given}


def load_yaml(file: Path) -> dict[str, Any]:
    """A YAML file of settings as a dict; empty where it holds nothing.

    Raises:
        ValueError: it is not YAML in UTF-8, or no mapping of names; names the file and the line.
    """
    try:
        content = read_yaml(file.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file} cannot be read as YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"{file} holds {str(content)[:60]!r}: a mapping {{name: value}} of names is needed")
    return content


def recbole_defaults(*parts: str) -> dict[str, Any]:
    """RecBole's own property file, e.g. of one of its models (``"model", "BPR"``); empty where it has none."""
    import recbole

    file = (Path(recbole.__file__).parent / "properties").joinpath(*parts[:-1], parts[-1] + ".yaml")
    return load_yaml(file) if file.is_file() else {}
