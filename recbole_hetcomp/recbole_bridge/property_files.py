"""The YAML files in ``properties/``, and RecBole's own, read as RecBole reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from recbole.config import Config

from recbole_hetcomp.files import properties_dir


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
    """A YAML file of settings as a dict, as RecBole reads it; empty where it holds nothing."""
    return read_yaml(file.read_text(encoding="utf-8")) or {}


def read_yaml(text: str) -> Any:
    """YAML as RecBole reads it: 1e-3 is a number, which it is not in YAML 1.1."""
    return yaml.load(text, Loader=Config._build_yaml_loader(None))


def recbole_defaults(name: str) -> dict[str, Any]:
    """RecBole's own defaults of one of its models; empty where it has none."""
    import recbole

    file = Path(recbole.__file__).parent / "properties" / "model" / f"{name}.yaml"
    return load_yaml(file) if file.is_file() else {}
