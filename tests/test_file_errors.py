"""What goes wrong with files is said with their names and a remedy, and nothing half-written stays."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recbole_hetcomp.file_errors import check_folder, in_words
from recbole_hetcomp.files import naming, write_text_whole


def plain(number: int, *names: Any) -> OSError:
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize("kind", ["file", "link"])
@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_what_lies_where_a_folder_is_wanted_is_named(kind, below, tmp_path):
    way = tmp_path / "way"
    if kind == "file":
        way.write_text("x")
    else:
        way.symlink_to("/nowhere")
    said = f"{way} is a {'file, and a folder is wanted' if kind == 'file' else 'link to /nowhere, which is not'} there"
    with pytest.raises(ValueError, match=r"^result_dir='.*' is not allowed: ") as refused:
        check_folder("result_dir", str(way / below))
    assert said in str(refused.value)
    with pytest.raises(OSError) as raised:  # noqa: PT011
        (way / below).mkdir(parents=True, exist_ok=True)
    assert said in in_words(raised.value)


def test_a_folder_that_is_there_or_can_be_made_is_none_of_its_business(tmp_path, monkeypatch):
    check_folder("result_dir", str(tmp_path))
    check_folder("result_dir", str(tmp_path / "a" / "b"))
    check_folder("store_dir", "s3://bucket/store")
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(ValueError, match=f"no permission in {tmp_path}"):
        check_folder("result_dir", str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (plain(errno.ENOSPC, "/tmp/x"), r"no room for /tmp/x: \d+ bytes are free"),
        (plain(errno.EFBIG, "/tmp/x"), r"/tmp/x would be larger .*ulimit -f"),
        (plain(errno.EACCES, "/tmp/x"), "no permission for /tmp/x"),
        (plain(errno.EROFS, "/tmp/x"), "no permission for /tmp/x"),
        (plain(errno.ENOENT, "/tmp/no such/x"), "/tmp/no such/x does not exist"),
        (plain(errno.EISDIR, "/tmp/.x", None, "/tmp"), "/tmp is a folder, and a file is wanted there"),
        (plain(errno.EIO, b"/tmp/x"), "/tmp/x: Input/output error"),
        (FileNotFoundError("teachers.yaml is not there"), "teachers.yaml is not there"),
        (OSError(errno.ENOSPC, "the store needs 5 MiB", "/tmp"), r"the store needs 5 MiB"),
    ],
)
def test_words(error, words):
    import re

    assert re.search(words, in_words(error))


def test_errors_of_an_open_file_get_its_name(tmp_path):
    with pytest.raises(OSError, match="No space left") as raised, naming(tmp_path / "x"):
        raise plain(errno.ENOSPC)
    assert raised.value.filename == str(tmp_path / "x")
    with pytest.raises(OSError, match=r"/x: 25165 requested and 0 written") as raised, naming(tmp_path / "x"):
        raise OSError("25165 requested and 0 written")  # as NumPy does
    with pytest.raises(OSError, match="the store needs") as raised, naming(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "the store needs 5 MiB")
    assert raised.value.filename is None


def test_a_file_that_finds_no_room_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "x.txt"
    write_text_whole(target, "old")

    def full(path: Path, *more: Any, **others: Any) -> int:
        raise plain(errno.ENOSPC)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_text_whole(target, "new")
    assert raised.value.filename == str(target)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("x.txt", "old")]


# -- the commands -----------------------------------------------------------------------------------------------------

DATA = ["--dataset=small", "--data_path=data", "--topk=[5]", "--valid_metric=Recall@5"]
RUN = ["run", *DATA, "--K=10", "--K_D=5", "--K_prime=10", "--teachers=[EASE]", "--epochs=2", "--show_progress=False",
       "--compare_no_kd=False"]  # fmt: skip
IMPORT = ["import-teacher", "--name=x", *DATA, "--table=ranks.csv", "--any_split",
          "--allow=seen=1,short=1,absent=1", "--K=10", "--K_D=5", "--K_prime=10"]  # fmt: skip
PREPARE = ["prepare", "--format=table", "--input=ranks.csv", "--name=m"]
TUNE = ["tune", "--model=BPR", *DATA, "--num_samples=1"]
BENCHMARK = ["benchmark", "--config=plan.yaml"]


def furnish(folder: Path) -> None:
    """A small data set, rankings of it, a plan of a comparison."""
    (folder / "data" / "small").mkdir(parents=True)
    rows = [(f"u{user}", f"i{(user * 7 + n * n) % 40}") for user in range(40) for n in range(20)]
    lines = ["user_id:token\titem_id:token", *sorted({"\t".join(row) for row in rows})]
    (folder / "data" / "small" / "small.inter").write_text("\n".join(lines) + "\n")
    ranks = [f"u{user},i{item},{item}" for user in range(40) for item in range(40)]
    (folder / "ranks.csv").write_text("user,item,rank\n" + "\n".join(ranks) + "\n")
    plan = {
        "dataset": "small", "data_path": "data", "seeds": [1], "settings": {"topk": [5], "valid_metric": "Recall@5"},
        "teachers": {"models": ["EASE"]}, "baselines": {"Pop": {}},
        "students": {"settings": {"epochs": 2, "K": 10, "K_D": 5, "K_prime": 10},
                     "backbones": {"BPR": {"dimensions": [4]}}, "methods": {"RRD": {}}},
    }  # fmt: skip
    (folder / "plan.yaml").write_text(json.dumps(plan))


@pytest.fixture
def ended(tmp_path: Path, subprocess_environment: dict[str, str]) -> Callable[..., tuple[int, str]]:
    """``ended(words, limit=None)``: the status and all that a command printed; no file larger than the limit."""
    furnish(tmp_path)

    def run(words: list[str], limit: int | None = None) -> tuple[int, str]:
        def limited() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        found = subprocess.run(
            [sys.executable, "-m", "recbole_hetcomp.cli", *words],
            cwd=tmp_path, env=subprocess_environment, capture_output=True, text=True, check=False, preexec_fn=limited,
        )  # fmt: skip
        return found.returncode, found.stdout + found.stderr

    return run


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ([*RUN, "--store_dir=way"], "link"),
        ([*RUN, "--result_dir=way/in"], "file"),
        ([*RUN, "--checkpoint_dir=way"], "file"),
        (["teachers", "list", "--store_dir=way"], "file"),
        (["teachers", "verify", "--store_dir=way/in"], "link"),
        (["store", "--store_dir=way"], "link"),
        ([*IMPORT, "--store_dir=way"], "file"),
        ([*PREPARE, "--output=way"], "link"),
        ([*TUNE, "--output=way"], "file"),
        ([*BENCHMARK, "--output=way"], "link"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}-{value[-1].split('=')[0].strip('-')}",
)
def test_every_command_names_what_is_in_its_way(words, kind, ended, tmp_path):
    if kind == "file":
        (tmp_path / "way").write_text("x")
    else:
        (tmp_path / "way").symlink_to("/nowhere")
    status, said = ended(words)
    assert status in (1, 2)
    assert "Traceback" not in said
    assert "way is a file, and a folder" in said or "way is a link to /nowhere" in said
    assert "trained in" not in said  # nothing had begun


@pytest.mark.parametrize(
    ("words", "limit"),
    [(RUN, 2000), (RUN, 15000), ([*IMPORT, "--store_dir=store"], 2000), ([*PREPARE, "--output=out"], 2000)],
    ids=["run-store", "run-model", "import", "prepare"],
)
def test_a_file_that_cannot_grow_is_named_and_nothing_half_written_stays(words, limit, ended, tmp_path):
    status, said = ended(words, limit)
    assert status == 1
    assert "Traceback" not in said
    assert "would be larger than this process may write" in said or "bytes needed" in said
    left = [path for path in tmp_path.rglob("*") if path.name.startswith((".writing-", "spool-", ".m."))]
    assert left == []
    assert ended(words)[0] == 0  # with room it goes on


def test_numpy_says_what_it_has_not_written():
    with pytest.raises(OSError) as raised, open("/dev/full", "wb") as full:  # noqa: PT011
        np.save(full, np.zeros(100_000))
    assert raised.value.errno in (None, errno.ENOSPC)
