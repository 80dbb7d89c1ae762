"""``hetcomp teachers list|show|verify|remove``: named, checked, cleaned by age and size."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from recbole_hetcomp import cli
from recbole_hetcomp.trajectories.housekeeping import StoredTeacher, find, to_clean


@pytest.fixture
def store(finished_run, tmp_path) -> Path:
    """A copy of one BPR, one EASE and one student alone, EASE the oldest."""
    old, copy = Path(finished_run.settings["store_dir"]), tmp_path / "store"
    for age, name in enumerate(("NoKD", "BPR", "EASE")):
        source = min(old.glob(f"*/{name}-????????????????"), key=lambda path: path.stat().st_mtime)
        target = copy / source.parent.name / source.name
        shutil.copytree(source, target)
        made = time.time() - (1 + 10 * age) * 24 * 3600
        os.utime(target / "manifest.json", (made, made))
    return copy


def names(store: Path) -> set[str]:
    return {path.name.split("-")[0] for path in store.glob("*/*") if not path.name.startswith(".")}


def test_list_show_and_verify(store, capsys):
    place = f"--store_dir={store}"
    assert cli.main(["teachers", "list", place]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("-")[0] for line in lines[:3]] == ["EASE", "BPR", "NoKD"]
    assert "21 d" in lines[0]
    assert "Recall@50 0." in lines[0]
    assert lines[3].startswith("3 teachers, ")
    assert cli.main(["teachers", "show", "BPR", place]) == 0
    assert '"learning_rate"' in capsys.readouterr().out
    assert cli.main(["teachers", "verify", place]) == 0
    assert capsys.readouterr().out.count("ok ") == 3
    file = min(store.glob("*/EASE-*/trajectory.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    assert cli.main(["teachers", "verify", "BPR", place]) == 0
    assert cli.main(["teachers", "verify", place]) == 1
    assert capsys.readouterr().out.count("DAMAGED") == 1
    (file.parent / "manifest.json").write_text("{")
    assert cli.main(["teachers", "list", place]) == 0
    assert "its manifest is damaged" in capsys.readouterr().out


def test_remove_by_name_age_and_size(store, capsys):
    place = f"--store_dir={store}"
    assert cli.main(["teachers", "remove", "--older_than=15d", "--dry_run", place]) == 0
    assert "would remove" in capsys.readouterr().out
    assert names(store) == {"EASE", "BPR", "NoKD"}
    assert cli.main(["teachers", "remove", "--older_than=15d", place]) == 0
    assert names(store) == {"BPR", "NoKD"}
    assert cli.main(["teachers", "remove", "--keep_size=900K", place]) == 0
    assert names(store) == {"NoKD"}
    assert cli.main(["teachers", "remove", "NoKD", place]) == 0
    assert names(store) == set()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["remove"], "name entries, or give --older_than or --keep_size"),
        (["remove", "--older_than=soon"], "older_than='soon' is not allowed: a number with one of h, d, w"),
        (["remove", "--keep_size=10X"], "keep_size='10X' is not allowed"),
        (["show", "LightGCN"], "'LightGCN' names no entries of the store; it has EASE-"),
    ],
)
def test_wrong_calls(store, capsys, words, message):
    assert cli.main(["teachers", *words, f"--store_dir={store}"]) == 2
    assert message in capsys.readouterr().err
    assert len(names(store)) == 3


def test_imported_teachers_are_never_cleaned_by_age(store, tmp_path, capsys):
    folder = store / "imported" / "llm"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    os.utime(folder / "manifest.json", (0, 0))
    assert cli.main(["teachers", "remove", "--older_than=1h", f"--store_dir={store}"]) == 0
    assert names(store) == {"llm"}
    assert cli.main(["teachers", "remove", "import:llm", f"--store_dir={store}"]) == 0
    assert names(store) == set()


def entries(*sizes: int) -> list[StoredTeacher]:
    return [
        StoredTeacher(f"T-{n}", Path(f"T-{n}"), False, size, time.time() - 100 * n) for n, size in enumerate(sizes)
    ][::-1]


def test_the_oldest_go_until_the_rest_fits():
    kept = entries(5, 5, 5)
    assert [one.name for one in to_clean(kept, keep_bytes=10)] == ["T-2"]
    assert [one.name for one in to_clean(kept, keep_bytes=9)] == ["T-2", "T-1"]
    assert [one.name for one in to_clean(kept, older_than=150)] == ["T-2"]
    assert to_clean(kept, keep_bytes=15) == []


def test_a_name_that_means_two_is_refused():
    with pytest.raises(ValueError, match="'T' names 2 entries of the store; it may be T-1, T-0"):
        find(entries(1, 1), "T")
