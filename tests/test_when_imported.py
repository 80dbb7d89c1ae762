"""The plugin registers as soon as it and RecBole are both imported, in whatever order, and imports nothing before."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from recbole_hetcomp.when_imported import when_imported

PACKAGE = Path(__file__).resolve().parents[1] / "recbole_hetcomp"
WITH_MODELS = ("metrics", "recbole_bridge", "results", "teachers", "student", "methods")
HETCOMP = "assert get_model('HetComp').__name__ == 'HetComp'\n"


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder whose packages can be imported; what waits for one of them is forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    return tmp_path


def test_the_call_comes_once_when_the_package_is_there(packages):
    (packages / "awaited_package").mkdir()
    (packages / "awaited_package" / "__init__.py").write_text("value = 1")
    (packages / "awaited_package" / "inner.py").write_text("")
    seen = []
    when_imported("awaited_package", lambda: seen.append(vars(sys.modules["awaited_package"]).get("value")))
    assert seen == []
    import_module("awaited_package.inner")
    assert seen == [1]
    del sys.modules["awaited_package"], sys.modules["awaited_package.inner"]
    import_module("awaited_package")
    assert seen == [1]
    when_imported("awaited_package", lambda: seen.append(2))
    assert seen == [1, 2]
    del sys.modules["awaited_package"]


def test_several_calls_may_wait_for_one_package(packages):
    (packages / "awaited_by_two.py").write_text("")
    seen = []
    when_imported("awaited_by_two", lambda: seen.append(1))
    when_imported("awaited_by_two", lambda: seen.append(2))
    import_module("awaited_by_two")
    assert seen == [1, 2]
    del sys.modules["awaited_by_two"]


def test_to_look_for_the_package_is_not_to_import_it(packages):
    (packages / "looked_for.py").write_text("")
    seen = []
    when_imported("looked_for", lambda: seen.append(1))
    assert find_spec("looked_for") is not None
    assert seen == []
    module = import_module("looked_for")
    assert seen == [1]
    assert module.__spec__.loader.get_source("looked_for") == ""
    del sys.modules["looked_for"]


def test_a_package_that_cannot_be_imported_is_still_waited_for(packages):
    file = packages / "breaks_first.py"
    file.write_text("raise RuntimeError('broken')")
    seen = []
    when_imported("breaks_first", lambda: seen.append(1))
    with pytest.raises(RuntimeError, match="broken"):
        import_module("breaks_first")
    assert seen == []
    file.write_text("mended = True  # and of another length")
    import_module("breaks_first")
    assert seen == [1]
    del sys.modules["breaks_first"]


def test_the_package_waits_for_recbole(python):
    code = (
        "import sys, recbole_hetcomp, recbole_hetcomp.settings, recbole_hetcomp.tune.options\n"
        "assert not {'recbole', 'torch', 'ray'} & set(sys.modules)\n"
        "import recbole_hetcomp.core\n"
        "assert not {'recbole', 'ray'} & set(sys.modules)\n"
        "from recbole.utils import get_model\n" + HETCOMP
    )
    python(code)


@pytest.mark.parametrize(
    "module", ["methods.hetcomp", "metrics.lists", "results.table", "student.model", "teachers.cml"]
)
def test_any_module_may_be_imported_first(module, python):
    code = f"import recbole_hetcomp.{module}\nfrom recbole.utils import get_model\n" + HETCOMP
    python(code)


@pytest.mark.parametrize("part", WITH_MODELS)
def test_parts_with_the_plugins_models_import_recbole_first(part):
    """Otherwise registration would begin amid one of their modules, which it imports itself."""
    tree = ast.parse((PACKAGE / part / "__init__.py").read_text(encoding="utf-8"))
    found = (ast.unparse(entry) for entry in ast.walk(tree) if isinstance(entry, (ast.Import, ast.ImportFrom)))
    harmless = "from recbole_hetcomp.extras import"  # which imports nothing
    assert next(entry for entry in found if not entry.startswith(harmless)) == "import recbole"
