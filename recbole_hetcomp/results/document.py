"""Sections of text, tables and pictures, written as Markdown and as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Union

import pandas as pd
from jinja2 import Environment, FileSystemLoader, select_autoescape
from pandas.io.formats.style import Styler

from recbole_hetcomp.files import write_whole

PICTURES = "report_pictures"
"""Folder, beside ``report.md``, of the pictures that it shows."""
_MARKS = {"": "{}", "long": "{}", "best": "**{}**", "second": "<u>{}</u>", "reference": "*{}*"}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        caption: what it shows.
        cells: the text of each cell.
        marks: ``""``, ``best``, ``second``, ``reference`` or ``long`` (text that may be broken into lines) for each
            cell; None where none is marked.
        note: how it is to be read.
    """

    caption: str
    cells: pd.DataFrame
    marks: pd.DataFrame | None = None
    note: str = ""

    def html(self) -> str:
        """The table as an HTML element."""
        cells = self.cells.reset_index(drop=True)
        numeric = [column for column in cells if _is_numeric(cells[column])]
        classes = pd.DataFrame("", index=cells.index, columns=cells.columns)
        classes.loc[:, numeric] = "number"
        if self.marks is not None:
            classes = classes + " " + self.marks.reset_index(drop=True)
        name = hashlib.sha256(f"{self.caption}{cells.to_csv()}".encode()).hexdigest()[:8]  # the same each time
        styler = Styler(cells, uuid=name, cell_ids=False).hide(axis="index").format(escape="html")
        styler = styler.format_index(escape="html", axis=1).set_td_classes(classes)
        return styler.to_html()

    def markdown(self) -> str:
        """The table as GitHub's Markdown."""
        cells = self.cells.apply(lambda column: column.map(_escaped_cell))
        if self.marks is not None:
            for column in cells:
                cells[column] = [_MARKS[m].format(c) if c else c for c, m in zip(cells[column], self.marks[column])]
        align = ["right" if _is_numeric(self.cells[column]) else "left" for column in self.cells]
        return cells.to_markdown(index=False, tablefmt="github", disable_numparse=True, colalign=align)


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        name: of its file, without the suffix.
        caption: what it shows, in words.
        png: its content.
    """

    name: str
    caption: str
    png: bytes

    @property
    def data(self) -> str:
        """Its content as text for a data URL."""
        return base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Points:
    """A list of short statements."""

    points: tuple[str, ...]


@dataclass(frozen=True)
class Drawing:
    """A drawing that answers to a pointer; only pages of HTML have it.

    Attributes:
        markup: its HTML, taken as it is.
        caption: how it is to be read.
    """

    markup: str
    caption: str = ""


Block = Union[str, Table, Picture, Points, Drawing]


@dataclass(frozen=True)
class Section:
    """A part of the document.

    Attributes:
        title: its heading.
        blocks: its content, in order.
        level: of the heading, 2 or 3.
    """

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    level: int = 2

    @property
    def anchor(self) -> str:
        """Name to which a link leads."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def write_document(folder: Path, name: str, title: str, sections: Sequence[Section]) -> None:
    """Write ``<name>.md`` with its pictures in a folder beside it, and ``<name>.html`` with everything inside.

    Args:
        folder: where; it has to be there.
        name: of the files.
        title: the document's heading.
        sections: its content.
    """
    pictures = folder / PICTURES
    shown = [block for section in sections for block in section.blocks if isinstance(block, Picture)]
    for picture in shown:
        pictures.mkdir(exist_ok=True)
        write_whole(pictures / f"{picture.name}.png", partial(Path.write_bytes, data=picture.png))
    for suffix, text in (("md", markdown(title, sections)), ("html", html(title, sections))):
        write_whole(folder / f"{name}.{suffix}", partial(Path.write_text, data=text, encoding="utf-8"))
    for file in pictures.glob("*.png"):  # of an earlier document
        if file.stem not in {picture.name for picture in shown}:
            file.unlink()


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The document as GitHub's Markdown."""
    parts = [f"# {title}"]
    for section in sections:
        parts.append(f"{'#' * section.level} {section.title}")
        parts += [_block_markdown(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block_markdown(block: Block) -> str:
    if isinstance(block, Table):
        note = f"\n\n{_escaped(block.note)}" if block.note else ""
        return f"**{_escaped(block.caption)}**\n\n{block.markdown()}{note}"
    if isinstance(block, Picture):
        return f"![{block.caption}]({PICTURES}/{block.name}.png)\n\n{_escaped(block.caption)}"
    if isinstance(block, Drawing):
        return _escaped(block.caption)
    if isinstance(block, Points):
        return "\n".join(f"- {_escaped(point)}" for point in block.points)
    return _escaped(block)


def html(title: str, sections: Sequence[Section]) -> str:
    """The document as one HTML page: pictures and style inside, nothing fetched; scripts are those of drawings."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    kinds = {Table: "table", Picture: "picture", Points: "points", Drawing: "drawing", str: "text"}
    content = [
        {"section": section, "blocks": [(kinds[type(block)], block) for block in section.blocks]}
        for section in sections
    ]
    return environment.get_template("page.html").render(title=title, content=content)


def _escaped_cell(text: object) -> str:
    r"""Text of a table's cell, which holds no links: what looks like one is shown as it is.

    >>> print(_escaped_cell("[x](http://y)"))
    \[x\](http://y)
    """
    return re.sub(r"([\[\]])", r"\\\1", _escaped(text))


def _escaped(text: object) -> str:
    r"""Text that Markdown shows as it is.

    >>> print(_escaped("a|b <c> *d* p <0.001"))
    a\|b &lt;c> \*d\* p <0.001
    """
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", re.sub(r"([|*`])", r"\\\1", str(text)))


def _is_numeric(column: pd.Series) -> bool:
    """Whether a column's texts are numbers, perhaps with a unit, a sign or nothing."""
    texts = [str(text) for text in column if str(text) not in ("", "–")]
    return bool(texts) and all(re.match(r"[<▲▼+−-]?\s?\[?[+−-]?[\d.,]+|∞", text) for text in texts)
