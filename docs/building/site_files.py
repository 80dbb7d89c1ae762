"""A hook of the site: links between documents and the rest of the repository hold on the site as on a code host.

Documents are in ``docs/``, what they link to is not always: reports, property files, the changelog. Each file that a
document links to is carried into the site under its own path, and links are turned to where things are there. The first
page is the README.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[2]
HOME = "index.md"
PLAIN = (".png", ".svg", ".csv", ".json")  # carried as they are; Markdown becomes a page, all else a page that shows it
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add what documents link to outside ``docs/``, and what that links to."""
    waiting = [source_of(file.src_uri) for file in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        source = waiting.pop()
        for target in targets(source):
            if target in seen:
                continue
            seen.add(target)
            if not target.startswith("docs/") and (ROOT / target).is_file():
                files.append(carried(target, config))
                if target.endswith(".md"):
                    waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn a page's links to where the site has their targets; the first page is the README."""
    source = source_of(page.file.src_uri)
    if page.file.src_uri == HOME:
        markdown = (ROOT / source).read_text(encoding="utf-8")
        page.meta["hide"] = ["navigation"]  # there is one page in it

    def turned(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        path, mark, anchor = link.partition("#")
        if not path or ":" in path:
            return match.group()
        there = posixpath.relpath(place(repository_path(source, path)), posixpath.dirname(page.file.src_uri) or ".")
        return f"{before}{there}{mark}{anchor}{after}"

    return outside_fences(markdown, lambda text: LINK.sub(turned, text))


def source_of(src_uri: str) -> str:
    """Where in the repository a page's text is."""
    if src_uri == HOME:
        return "README.md"
    return src_uri if (ROOT / src_uri).is_file() else f"docs/{src_uri}"


def targets(source: str) -> list[str]:
    """Files of the repository that a document links to."""
    file = ROOT / source
    if not (source.endswith(".md") and file.is_file()):
        return []
    prose = FENCE.sub("", file.read_text(encoding="utf-8"))
    links = (match.group(2).partition("#")[0] for match in LINK.finditer(prose))
    return [repository_path(source, link) for link in links if link and ":" not in link]


def repository_path(source: str, link: str) -> str:
    """The path in the repository of what a document links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def place(path: str) -> str:
    """Where the site has a file of the repository."""
    if path == "README.md":
        return HOME
    if path.startswith("docs/"):
        return path[len("docs/") :]
    return path if path.endswith((".md", *PLAIN)) else f"{path}.md"


def carried(path: str, config: Any) -> File:
    """A file of the repository as one of the site."""
    if path.endswith((".md", *PLAIN)):
        file = File.generated(config, place(path), abs_src_path=str(ROOT / path))
    else:
        text = (ROOT / path).read_text(encoding="utf-8")
        kind = Path(path).suffix[1:] or "text"
        file = File.generated(config, place(path), content=f"# {path}\n\n```{kind}\n{text}\n```\n")
    file.inclusion = InclusionLevel.INCLUDED if path == "CHANGELOG.md" else InclusionLevel.NOT_IN_NAV
    return file


def outside_fences(markdown: str, change: Any) -> str:
    """Markdown with the text outside of its code blocks changed."""
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence.group()]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])
