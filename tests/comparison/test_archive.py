"""A benchmark's cells as one file: byte for byte the same afterwards, and nothing from a file that is damaged."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet

from recbole_hetcomp.cli import main
from recbole_hetcomp.comparison.archive import _checksum, pack_cells, restore_cells
from recbole_hetcomp.comparison.folder import CELL, ERROR, LISTS, LOG, PER_USER, RESULT

RUN, TRIAL, FAILED = "00000000000000aa", "00000000000000bb", "00000000000000cc"


@pytest.fixture
def benchmark(tmp_path) -> Path:
    """A benchmark's folder: a run, a trial and a run that has failed."""
    folder = tmp_path / "benchmark"
    for key in (RUN, TRIAL, FAILED):
        cell = folder / "cells" / key
        cell.mkdir(parents=True)
        (cell / CELL).write_text("{}")
        (cell / LOG).write_text("a line\n")
    for key in (RUN, TRIAL):
        result = {"key": key, "row": {"valid_recall@50": 0.1}}
        (folder / "cells" / key / RESULT).write_text(json.dumps(result, indent=1))
    users = pd.DataFrame({"user": [f"u{number}" for number in range(500)], "recall@50": 0.25})
    users.to_parquet(folder / "cells" / RUN / PER_USER)
    (folder / "cells" / RUN / LISTS).write_bytes(random.Random(1).randbytes(300))
    (folder / "cells" / FAILED / ERROR).write_text("{}")
    (folder / "runs.csv").write_text("method\n")
    return folder


@pytest.fixture
def packed(benchmark, tmp_path) -> Path:
    pack_cells(benchmark, tmp_path / "cells.parquet")
    return tmp_path / "cells.parquet"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_results_come_back_byte_for_byte_and_nothing_else(benchmark, tmp_path):
    assert pack_cells(benchmark, tmp_path / "cells.parquet") == 2
    assert restore_cells(tmp_path / "cells.parquet", tmp_path / "new" / "copy") == 2
    names = [f"{RUN}/{RESULT}", f"{RUN}/{PER_USER}", f"{RUN}/{LISTS}", f"{TRIAL}/{RESULT}"]
    assert contents(tmp_path / "new" / "copy") == {
        f"cells/{name}": (benchmark / "cells" / name).read_bytes() for name in names
    }
    assert [entry.name for entry in (tmp_path / "new" / "copy").iterdir()] == ["cells"]


def test_the_same_results_make_the_same_file(benchmark, packed, tmp_path):
    restore_cells(packed, tmp_path / "copy")
    pack_cells(tmp_path / "copy", tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == packed.read_bytes()


def test_many_cells_are_packed_some_at_a_time(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr("recbole_hetcomp.comparison.archive._TOGETHER", 50)
    pack_cells(benchmark, tmp_path / "cells.parquet")
    assert parquet.read_metadata(tmp_path / "cells.parquet").num_row_groups == 4
    assert restore_cells(tmp_path / "cells.parquet", tmp_path / "copy") == 2
    assert contents(tmp_path / "copy").items() <= contents(benchmark).items()


def test_cells_that_are_there_already_stay(packed, benchmark):
    before = contents(benchmark)
    assert restore_cells(packed, benchmark) == 2
    assert contents(benchmark) == before


@pytest.mark.parametrize("name", [RESULT, PER_USER])
@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_bytes(b"x" + file.read_bytes()[1:])])
def test_other_cells_are_not_written_over(packed, benchmark, name, change):
    change(benchmark / "cells" / RUN / name)
    before = contents(benchmark)
    with pytest.raises(FileExistsError, match=rf"{RUN}/{name} is not that of .*cells\.parquet"):
        restore_cells(packed, benchmark)
    assert contents(benchmark) == before


def test_a_folder_without_results_is_not_packed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no cell in .*nowhere is done"):
        pack_cells(tmp_path / "nowhere", tmp_path / "cells.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"key": "00000000000000bb"}'])
def test_a_damaged_result_is_not_packed(benchmark, tmp_path, content):
    (benchmark / "cells" / RUN / RESULT).write_text(content)
    with pytest.raises(ValueError, match=f"{RUN}/{RESULT} is damaged or of another cell"):
        pack_cells(benchmark, tmp_path / "cells.parquet")
    assert [entry.name for entry in tmp_path.iterdir()] == ["benchmark"]


def test_a_damaged_file_restores_nothing(packed, benchmark, tmp_path):
    """A byte changed anywhere, or the file cut short, is refused by name, or changes nothing that is restored."""
    whole, damaged, copy = packed.read_bytes(), tmp_path / "damaged.parquet", tmp_path / "copy"
    places = random.Random(2).sample(range(len(whole)), 150)
    refused = 0
    for number, content in enumerate(
        [whole[:place] for place in places[:30]]
        + [whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :] for place in places]
    ):
        damaged.write_bytes(content)
        target = copy / str(number)
        try:
            restore_cells(damaged, target)
        except ValueError as error:
            assert str(error).startswith(f"{damaged} cannot be restored: ")  # noqa: PT017
            assert not target.exists()
            refused += 1
        else:
            assert contents(target).items() <= contents(benchmark).items()
            assert len(contents(target)) == 4
    assert refused > 100


def test_a_foreign_file_is_refused(tmp_path, benchmark):
    for name, write in {
        "table.parquet": lambda file: pd.DataFrame({"path": ["a"]}).to_parquet(file),
        "text.parquet": lambda file: file.write_text("text"),
        "empty.parquet": Path.touch,
    }.items():
        write(tmp_path / name)
        with pytest.raises(ValueError, match=rf"{name} cannot be restored"):
            restore_cells(tmp_path / name, tmp_path / "copy")
    with pytest.raises(FileNotFoundError, match=r"nothing\.parquet"):
        restore_cells(tmp_path / "nothing.parquet", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("path", [f"../{RUN}/{RESULT}", f"/{RUN}/{PER_USER}", f"{RUN}/{LOG}", f"{TRIAL}/{RESULT}"])
def test_a_file_that_writes_elsewhere_is_refused(packed, tmp_path, path):
    table = parquet.read_table(packed)
    content = json.dumps({"key": RUN}).encode()
    row = {"path": path, "checksum": _checksum(path, content), "content": content}
    parquet.write_table(pyarrow.Table.from_pylist([row], table.schema), packed)
    with pytest.raises(ValueError, match=r"cells\.parquet cannot be restored: .* of a(nother)? cell"):
        restore_cells(packed, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_wrong_checksum_is_refused(packed, tmp_path):
    table = parquet.read_table(packed)
    rows = table.to_pylist()
    rows[1]["content"] += b" "
    parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), packed)
    with pytest.raises(ValueError, match=rf"the checksum of {TRIAL}/{RESULT} is wrong"):
        restore_cells(packed, tmp_path / "copy")


def test_the_command_restores_before_it_goes_on_and_refuses_a_damaged_file(benchmark, packed, tmp_path, capsys):
    copy = tmp_path / "copy"
    words = ["benchmark", "--config", "smoke", "--output", str(copy), "--dry_run", "--restore", str(packed)]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(f"{packed}: 2 cells\n")
    assert contents(copy).items() <= contents(benchmark).items()
    packed.write_text("text")
    assert main(words) == 2
    assert f"error: {packed} cannot be restored: " in capsys.readouterr().err


def test_the_command_packs_what_is_done(benchmark, packed, tmp_path, capsys):
    again = tmp_path / "again.parquet"
    words = ["benchmark", "--config", "smoke", "--output", str(benchmark), "--dry_run", "--pack", str(again)]
    assert main(words) == 0
    assert capsys.readouterr().out.endswith(f"{again}: 2 cells\n")
    assert again.read_bytes() == packed.read_bytes()
