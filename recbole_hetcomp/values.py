"""What a text means as a value: one reader for command lines, files, spaces and configs. Nothing is ever executed."""

from __future__ import annotations

import ast
import datetime
import re
from collections.abc import Mapping
from typing import Any

import yaml

_LITERALS = (str, int, float, list, tuple, dict, type(None))
_NULLS = ("null", "~")
_TRUTHS = {"true": True, "false": False}


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as RecBole reads it and YAML 1.1 does not."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_yaml(text: str) -> Any:
    """YAML as plain values.

    Raises:
        yaml.YAMLError: it is none, or names a class.

    >>> read_yaml("{rate: 1e-3, sizes: [64, 32], none: ~}")
    {'rate': 0.001, 'sizes': [64, 32], 'none': None}
    """
    return yaml.load(text, Loader=_Loader)


def read_literal(text: str) -> Any:
    """A Python literal, or a truth value in any case; otherwise the text: what RecBole's Config makes of a text.

    RecBole evaluates the text as code; here only literals are read.

    >>> [read_literal(text) for text in ("1e-3", "None", "(1, 2)", "['a']", "true", "BPR", "2024/11/25", "print(1)")]
    [0.001, None, (1, 2), ['a'], True, 'BPR', '2024/11/25', 'print(1)']
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _TRUTHS.get(text.lower(), text)
    return value if isinstance(value, _LITERALS) else text


def read_value(text: str) -> Any:
    """A value as a person types it: a literal as :func:`read_literal` reads it, otherwise YAML, otherwise the text.

    >>> [read_value(text) for text in ("1e-3", "None", "[BPR, EASE]", "{a: 1e-3}", "LightGCN", "*.csv", " ")]
    [0.001, None, ['BPR', 'EASE'], {'a': 0.001}, 'LightGCN', '*.csv', ' ']
    """
    value = read_literal(text)
    if value is not text:
        return value
    try:
        value = read_yaml(text)
    except yaml.YAMLError:
        return text
    unmeant = isinstance(value, datetime.date) or (value is None and text.lower() not in _NULLS)
    return text if unmeant else value


def as_plain(value: Any) -> Any:
    """A value with dicts and lists in place of any mappings and tuples: YAML's safe loader and RecBole have no others.

    >>> as_plain({"sizes": (64, 32), "inner": [{"a": ()}]})
    {'sizes': [64, 32], 'inner': [{'a': []}]}
    """
    if isinstance(value, Mapping):
        return {key: as_plain(entry) for key, entry in value.items()}
    return [as_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
