"""Checksums: of content, whatever the times and hidden files say."""

from __future__ import annotations

import os
from pathlib import Path

from recbole_hetcomp.pipeline.contents import checksum, checksums


def folder(place: Path, **files: str) -> Path:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    return place


def test_a_touched_file_is_the_same(tmp_path):
    file = folder(tmp_path, a="one") / "a"
    before = checksum(file)
    os.utime(file, (1, 1))
    assert checksum(file) == before
    file.write_text("two", encoding="utf-8")
    assert checksum(file) != before


def test_a_folder_is_the_names_and_contents_in_it(tmp_path):
    one = checksum(folder(tmp_path / "1", a="x", b="y"))
    assert checksum(folder(tmp_path / "2", b="y", a="x")) == one
    assert checksum(folder(tmp_path / "3", a="y", b="x")) != one
    assert checksum(folder(tmp_path / "4", a="x", c="y")) != one
    assert checksum(folder(tmp_path / "5", **{"a": "x", "in/b": "y"})) != one


def test_hidden_files_do_not_count(tmp_path):
    before = checksum(folder(tmp_path, a="x"))
    assert checksum(folder(tmp_path, **{".lock": "", ".writing-b/c": "z"})) == before


def test_what_is_not_there_has_none(tmp_path):
    assert checksums(folder(tmp_path, a="x"), ["a", "b"]) == {"a": checksum(tmp_path / "a"), "b": None}
