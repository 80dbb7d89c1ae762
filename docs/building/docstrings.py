"""Docstrings for the site: roles, formulas, examples and tables of reStructuredText become Markdown and MathML."""

from __future__ import annotations

import re
from typing import Any

import griffe
from latex2mathml.converter import convert

ROLE = re.compile(r":\w+:`~?([\w.]+)`")
MATH = re.compile(r"^( *)\.\. math:: ?(.*(?:\n\1 +\S.*)*)", re.MULTILINE)
EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", re.MULTILINE)
_ROWS = r"((?:\1(?!=+ +=).*\S.*\n)+?)"
TABLE = re.compile(rf"^( *)=+ +=[= ]*\n{_ROWS}\1=+ +=[= ]*(?:\n{_ROWS}\1=+ +=[= ]*)?$", re.MULTILINE)


class Markdown(griffe.Extension):
    """Changes each docstring before it is taken apart, and shows each name once, where it is defined."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Change one object's docstring."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_module_members(self, *, mod: Any, **_: Any) -> None:
        """Leave out what a folder's ``__init__`` names again."""
        if mod.is_init_module:
            mod.exports = None


def as_markdown(text: str) -> str:
    """A docstring as Markdown.

    >>> as_markdown("See :class:`~a.b.C`.")
    'See <autoref identifier="a.b.C" optional><code>C</code></autoref>.'
    """
    text = TABLE.sub(_table, text)
    text = EXAMPLE.sub(_fenced, text)
    text = MATH.sub(_formula, text)
    return ROLE.sub(_reference, text)


def _reference(match: re.Match[str]) -> str:
    """A link where the site knows the name, its last part else."""
    name = match.group(1)
    return f'<autoref identifier="{name}" optional><code>{name.rpartition(".")[2]}</code></autoref>'


def _formula(match: re.Match[str]) -> str:
    formula = " ".join(match.group(2).split())
    return f"{match.group(1)}{convert(formula, display='block')}"


def _fenced(match: re.Match[str]) -> str:
    indent = match.group(1)
    return f"{indent}```pycon\n{match.group()}\n{indent}```"


def _table(match: re.Match[str]) -> str:
    """A table of columns below ``=`` signs as one of bars; one without a head keeps an empty one."""
    indent, first, second = match.groups()
    starts = [found.start() for found in re.finditer("=+", match.group().split("\n", 1)[0])]
    columns = list(zip(starts, [*starts[1:], None]))
    head, body = (first, second) if second else (indent + " ", first)

    def rows(lines: str) -> list[list[str]]:
        found: list[list[str]] = []
        for line in lines.rstrip("\n").split("\n"):
            cells = [line[start:end].strip() for start, end in columns]
            if found and not cells[0]:  # goes on with the row above
                found[-1] = [f"{above} {cell}".strip() for above, cell in zip(found[-1], cells)]
            else:
                found.append(cells)
        return found

    table = [*rows(head), ["---"] * len(columns), *rows(body)]
    return "\n".join(f"{indent}| {' | '.join(row)} |" for row in table)
