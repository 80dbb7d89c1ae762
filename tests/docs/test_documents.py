"""The documents: short lines, links that lead somewhere, code that compiles, commands that exist."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from documents import ROOT, Block, Document, blocks, document, documents

PAGES = documents()
NOTES = [document(file.relative_to(ROOT).as_posix()) for file in sorted(ROOT.glob("benchmarks/**/README.md"))]
PYTHON = list(blocks("python"))
README_WORDS = 700
LONGEST = 120
# commands that take any setting as --name=value
SETTINGS_FOLLOW = (
    "run", "teachers", "import-teacher", "export-rankings", "tune", "leaderboard", "select", "run_recbole"
)  # fmt: skip
OF_TEACHERS = ("train", "contribution", "list", "show", "verify", "remove", "export")  # the first where none is named


def of_page(page: Document) -> str:
    return page.path


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= README_WORDS


def test_readme_has_both_commands():
    shown = "\n".join(block.text for block in document("README.md").blocks if block.language == "bash")
    assert "bash run/main.sh" in shown
    assert "bash run/test.sh" in shown


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_lines_are_short(page):
    """But for rows of tables, and lines that only a link's address makes long."""
    long = []
    for number, line in enumerate(page.lines, 1):
        shown = re.sub(r"\]\([^)]*\)", "]", line)
        if len(shown) > LONGEST and not line.startswith("|"):
            long.append(f"{page.path}:{number} has {len(line)} characters")
    assert not long


@pytest.mark.parametrize("page", [*PAGES, *NOTES], ids=of_page)
def test_links_lead_somewhere(page):
    broken = []
    for number, target in page.links:
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        file = (ROOT / page.path).parent / path if path else ROOT / page.path
        if not file.exists() or ROOT not in file.resolve().parents:
            broken.append(f"{page.path}:{number}: {target} is not there")
        elif anchor and anchor not in document(file.resolve().relative_to(ROOT).as_posix()).anchors:
            broken.append(f"{page.path}:{number}: {target} names no heading")
    assert not broken


@cache
def ignored() -> frozenset[str]:
    """Files that lie here but are not kept: a clone has none of them."""
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return frozenset(listed.stdout.splitlines())


@pytest.mark.parametrize("page", [*PAGES, *NOTES], ids=of_page)
def test_files_that_are_named_are_kept(page):
    """Those of links, and those of commands from the repository's root."""
    linked = [(ROOT / page.path).parent / target.partition("#")[0] for _, target in page.links if ":" not in target]
    named = [file.resolve().relative_to(ROOT).as_posix() for file in linked if ROOT in file.resolve().parents]
    words = [word for block in page.blocks if block.language == "bash" for word in block.text.split()]
    in_commands = [
        word for word in words if re.fullmatch(r"(benchmarks|docs|properties|run|tests)/[\w./-]+\.\w+", word)
    ]
    assert [word for word in in_commands if not (ROOT / word).is_file()] == []
    assert ignored().isdisjoint([*named, *in_commands])


def test_every_page_is_reached():
    """From the site's menu."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.path[len("docs/") :] for page in PAGES if page.path.startswith("docs/")]
    assert [page for page in pages if not re.search(rf"[:-] {re.escape(page)}\n", menu)] == []


# --- Python ---


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles(block):
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_imports_what_is_there(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                assert hasattr(module, name.name), f"{block}: {node.module} has no {name.name}"


@pytest.mark.parametrize("block", [block for block in PYTHON if block.runs] or [None], ids=str)
def test_python_that_is_marked_runs(block, tmp_path, subprocess_environment):
    if block is None:
        pytest.skip("no block is marked to be run")
    subprocess.run(
        [sys.executable, "-c", block.text], check=True, cwd=tmp_path, env=subprocess_environment, timeout=300
    )


# --- commands ---


@cache
def help_of(program: str, *command: str) -> str:
    """What ``program COMMAND --help`` prints, by the program's own entry point."""
    entry = re.search(rf'"{program}=([\w.]+):(\w+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    assert entry, f"setup.py has no command {program}"
    code = f"import sys; from {entry[1]} import {entry[2]}; sys.argv[0] = {program!r}; sys.exit({entry[2]}())"
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{program} {' '.join(command)} --help ends with {done.returncode}: {done.stderr}"
    return done.stdout


@cache
def settings() -> frozenset[str]:
    """Names of settings, RecBole's and the plugin's."""
    import recbole
    from recbole.utils import argument_list

    names = {name for key, value in vars(argument_list).items() if key.endswith("arguments") for name in value}
    for folder in (ROOT / "properties" / "model", Path(recbole.__file__).parent / "properties" / "model"):
        for file in folder.glob("*.yaml"):
            names.update(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    own = (ROOT / "properties" / "overall.yaml").read_text(encoding="utf-8")
    return frozenset(names | set(yaml.safe_load(own)) | {"data_path", "checkpoint_dir"})


def command_lines(block: Block) -> Iterator[list[str]]:
    """Words of each command of the plugin, a quoted one within another's words too."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for quoted in [words, *(shlex.split(word) for word in words if " " in word)]:
            for place, word in enumerate(quoted):
                if word.rpartition("/")[2] in ("hetcomp", "run_recbole") and (place == 0 or quoted[place - 1] == "&&"):
                    yield [word.rpartition("/")[2], *quoted[place + 1 :]]


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Where each command line stands, and its words: in blocks and within lines."""
    for block in blocks("bash"):
        yield from ((str(block), words) for words in command_lines(block))
    for page in PAGES:
        for number, code in page.code_spans:
            if re.match(r"(hetcomp|run_recbole) ", code):
                yield f"{page.path}:{number}", code.split()


def test_commands_exist():
    unknown = []
    for where, words in shown_commands():
        name, *rest = words
        command = [rest[0]] if name == "hetcomp" and rest and not rest[0].startswith("-") else []
        if command == ["teachers"]:
            command.append(rest[1] if rest[1:] and rest[1] in OF_TEACHERS else OF_TEACHERS[0])
        if command == ["pipeline"] and rest[1:]:
            command.append(rest[1])
        page = help_of(name, *command)
        known = set(re.findall(r"(?<![\w-])--?\w[\w-]*", page))
        options = {word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)}
        if (command or [name])[0] in SETTINGS_FOLLOW:
            known |= {f"--{setting}" for setting in settings()}
        unknown += [f"{where}: {' '.join([name, *command])} has no {option}" for option in options - known]
    assert not unknown


def test_commands_are_found():
    lines = [words for _, words in shown_commands()]
    assert ["run_recbole", "--model=HetComp", "--dataset=ml-100k"] in lines
    assert ["hetcomp", "benchmark", "--config", "smoke", "--output", "out"] in lines
    assert any(words[:4] == ["hetcomp", "tune", "--address", "auto"] for words in lines)  # quoted, for another machine
