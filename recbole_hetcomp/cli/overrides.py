"""Settings on the command line: RecBole's ``--name=value``, or ``--name value``, the same for every command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recbole_hetcomp.values import read_value


def read_settings(words: Sequence[str]) -> dict[str, Any]:
    """Words as settings.

    Raises:
        ValueError: a word is not of this form, or a name is given twice.

    >>> read_settings(["--K=20", "--teachers", "[BPR, EASE]", "--learning_rate=1e-3"])
    {'K': 20, 'teachers': ['BPR', 'EASE'], 'learning_rate': 0.001}
    """
    texts: dict[str, str] = {}
    for word in joined(words):
        name, equals, text = word[2:].partition("=")
        if not (word.startswith("--") and equals and name) or name.startswith("-"):
            raise ValueError(f"{word!r} is not understood; settings are given as --name=value")
        if texts.get(name, text) != text:
            raise ValueError(f"--{name} is given twice: {texts[name]!r} and {text!r}")
        texts[name] = text
    return {name: read_value(text) for name, text in texts.items()}


def read_pairs(option: str, text: str) -> dict[str, Any]:
    """``name=value,name=value`` as a mapping.

    Raises:
        ValueError: a part is not of this form, or a name is given twice.

    >>> read_pairs("--allow", "duplicate=1, unknown_item=0.2")
    {'duplicate': 1, 'unknown_item': 0.2}
    """
    found: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name or name in found:
            raise ValueError(f"{option} {text!r} is not understood: NAME=VALUE, separated by commas, each name once")
        found[name] = read_value(value)
    return found


def joined(words: Sequence[str]) -> list[str]:
    """``--name value`` as ``--name=value``.

    >>> joined(["--seed", "1", "--K=20", "--alpha", "-1"])
    ['--seed=1', '--K=20', '--alpha=-1']
    """
    found: list[str] = []
    for word in words:
        if found and not word.startswith("--") and found[-1].startswith("--") and "=" not in found[-1]:
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found
