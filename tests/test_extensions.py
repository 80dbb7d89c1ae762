"""Modules of a user's: found by name or file, imported once, passed on, refused where they hide another."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recbole_hetcomp.extensions import VARIABLE, ExtensionError, load_extensions, place_in_extension, use_extension


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def written(folder: Path, name: str, text: str = "loads = 1\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_file_is_imported_once_and_passed_on_by_its_whole_path(tmp_path, monkeypatch):
    written(tmp_path / "a folder", "my_extension.py")
    monkeypatch.chdir(tmp_path)
    module = use_extension("a folder/my_extension.py")
    assert use_extension("a folder/my_extension.py") is module is sys.modules["my_extension"]
    import os

    assert os.environ[VARIABLE] == str(tmp_path / "a folder" / "my_extension.py")
    monkeypatch.chdir("/")
    load_extensions()
    assert sys.modules["my_extension"] is module


def test_what_the_environment_names_relatively_is_the_same_file(tmp_path, monkeypatch):
    written(tmp_path, "my_extension.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "my_extension.py")
    load_extensions()
    assert use_extension(str(tmp_path / "my_extension.py")) is sys.modules["my_extension"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("broken_extension.py", "import (", "SyntaxError"),
        ("broken_extension.py", "raise RuntimeError('no')", "RuntimeError: no"),
        ("json.py", "", "a module 'json' is imported already"),
        ("this.py", "", "there is a module 'this' at"),
    ],
)
def test_what_cannot_be_imported_is_refused(tmp_path, name, text, message):
    with pytest.raises(ExtensionError, match=message):
        use_extension(str(written(tmp_path, name, text)))
    assert "broken_extension" not in sys.modules


@pytest.mark.parametrize("name", ["nowhere.py", "no_such_module", "no.such.module"])
def test_a_missing_one_is_refused(name):
    with pytest.raises(ExtensionError, match="cannot be imported"):
        use_extension(name)


def test_an_error_in_an_extension_has_a_place(tmp_path):
    module = use_extension(str(written(tmp_path, "my_extension.py", "def fail():\n    raise ValueError('no')\n")))
    with pytest.raises(ValueError, match="no") as caught:
        module.fail()
    assert place_in_extension(caught.value) == f" ({tmp_path / 'my_extension.py'}:2)"
    assert place_in_extension(ValueError("elsewhere")) == ""
