"""The documents as tests see them: their prose, links, headings and code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = "<!-- run -->"  # the line above a block that is run

_FENCE = re.compile(r"^\s*```(\w*)")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        document: path from the repository's root.
        line: line number of its first line.
        language: what stands behind the fence.
        text: its lines.
        runs: whether it is marked to be run.
    """

    document: str
    line: int
    language: str
    text: str
    runs: bool

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Document:
    """A Markdown file.

    Attributes:
        path: from the repository's root.
    """

    path: str

    @cached_property
    def lines(self) -> list[str]:
        """All lines."""
        return (ROOT / self.path).read_text(encoding="utf-8").splitlines()

    @cached_property
    def blocks(self) -> list[Block]:
        """The fenced blocks."""
        found, start, language = [], None, ""
        for number, line in enumerate(self.lines):
            fence = _FENCE.match(line)
            if fence and start is None:
                start, language = number + 1, fence.group(1)
            elif fence and start is not None:
                runs = start > 1 and self.lines[start - 2].strip() == RUN
                found.append(Block(self.path, start + 1, language, "\n".join(self.lines[start:number]), runs))
                start = None
        assert start is None, f"{self.path}: the block in line {start} has no end"
        return found

    @cached_property
    def prose(self) -> list[tuple[int, str]]:
        """Line numbers and lines outside of code blocks."""
        inside = {
            number
            for block in self.blocks
            for number in range(block.line - 1, block.line + len(block.text.splitlines()) + 1)
        }
        return [(number, line) for number, line in enumerate(self.lines, 1) if number not in inside]

    @cached_property
    def links(self) -> list[tuple[int, str]]:
        """Line numbers and targets of links and pictures, those of other sites too; a link may go over two lines."""
        prose = dict(self.prose)
        text = _CODE.sub("", "\n".join(prose.get(number, "") for number in range(1, len(self.lines) + 1)))
        return [(text.count("\n", 0, link.start()) + 1, link.group(1)) for link in _LINK.finditer(text)]

    @cached_property
    def code_spans(self) -> list[tuple[int, str]]:
        """Line numbers and texts of code within lines."""
        return [(number, code) for number, line in self.prose for code in _CODE.findall(line)]

    @cached_property
    def anchors(self) -> set[str]:
        """What a link may name behind ``#``: headings, as code hosts and the site write them."""
        slugs = [anchor(match.group(1)) for _, line in self.prose if (match := re.match(r"#+ +(.*)", line))]
        numbered = [f"{slug}-{slugs[:place].count(slug)}" for place, slug in enumerate(slugs)]
        return {name.removesuffix("-0") for name in numbered}


def anchor(heading: str) -> str:
    """The anchor of a heading.

    >>> anchor("5. Adaptive knowledge transfer (ADKT)")
    '5-adaptive-knowledge-transfer-adkt'
    """
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain.strip().lower()))


@cache
def document(path: str) -> Document:
    """A document by its path from the repository's root."""
    return Document(path)


def documents() -> list[Document]:
    """README, changelog and all of ``docs/``."""
    pages = sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "docs").rglob("*.md"))
    return [document(path) for path in ("README.md", "CHANGELOG.md", *pages)]


def blocks(*languages: str) -> Iterator[Block]:
    """All blocks of some languages in all documents."""
    for page in documents():
        yield from (block for block in page.blocks if block.language in languages)
