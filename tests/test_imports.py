"""The package's modules import one way only, and name no device."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "recbole_hetcomp"
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the foundations to the commands: a part imports from those before it only.
LAYERS = (
    "version",
    "when_imported",
    "extensions",
    "signals",
    "values",
    "kept",
    "extras",
    "ray_api",
    "threads",
    "declared",
    "lesson_settings",
    "memory",
    "settings",
    "files",
    "file_errors",
    "locks",
    "children",
    "core",
    "trajectories",
    "data",
    "recbole_bridge",
    "metrics",
    "results",
    "teachers",
    "student",
    "methods",
    "serving",
    "tune",
    "comparison",
    "deployment",
    "pipeline",
    "cli",
)


def imports(file: Path) -> Iterator[str]:
    """Full names of all that a module imports, wherever in it, except for type checkers."""
    for node in statements(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import in line {node.lineno}"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def statements(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from statements(child)


def part(name: str) -> str:
    """``recbole_hetcomp.results.table`` is of the part ``trainer``."""
    return name.split(".")[1] if "." in name else ""


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own_imports(file: Path) -> list[str]:
    return [name for name in imports(file) if name.split(".")[0] == "recbole_hetcomp"]


def test_every_part_of_the_package_has_its_place():
    assert {part_of(file) for file in MODULES} - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_one_way(file):
    place = LAYERS.index(part_of(file)) if part_of(file) in LAYERS else len(LAYERS)
    against = [name for name in own_imports(file) if part(name) in LAYERS[place + 1 :]]
    assert against == []


@pytest.mark.parametrize("file", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda file: file.name)
def test_core_needs_torch_and_the_standard_library_only(file):
    outside = [
        name
        for name in imports(file)
        if name.split(".")[0] == "recbole_hetcomp"
        and part(name) not in {"core", "declared", "lesson_settings", "values"}
    ]
    assert outside == []
    frameworks = {"recbole", "ray", "pandas", "scipy", "sklearn", "matplotlib", "yaml", "tqdm", "hyperopt"}
    assert [name for name in imports(file) if name.split(".")[0] in frameworks] == []


def test_no_modules_import_each_other_in_a_circle():
    names = {module_name(file): file for file in MODULES if file.name != "__init__.py"}
    graph = {name: imported_modules(file, set(names)) - {name} for name, file in names.items()}
    order: list[str] = []
    while graph:
        free = [name for name, needs in graph.items() if not needs & set(graph)]
        assert free, f"a circle among {sorted(graph)}"
        order += free
        for name in free:
            del graph[name]
    assert len(order) == len(names)


def module_name(file: Path) -> str:
    return ".".join(("recbole_hetcomp", *file.relative_to(PACKAGE).with_suffix("").parts))


def imported_modules(file: Path, known: set[str]) -> set[str]:
    """The modules that a module imports when it is itself imported."""
    top = ast.parse(file.read_text(encoding="utf-8")).body
    found = {name for node in top for name in _names(node)}
    return {module for name in found for module in (name, name.rpartition(".")[0]) if module in known}


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{name.name}" for name in node.names]
    return []


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_file_is_long(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_module_names_a_device(file):
    assert re.findall(r"cuda:\d", file.read_text(encoding="utf-8")) == []


def test_the_check_sees_a_wrong_import(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("def f():\n    from recbole_hetcomp.cli import main\nimport recbole_hetcomp.results.table as r\n")
    assert [part(name) for name in own_imports(file)] == ["cli", "results"]
