"""Users in Parquet behave like the list of their ids, and what is no such table is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole_hetcomp.serving.users import UserTable


def write(file: Path, ids: pa.Array, rows: int = 7) -> Path:
    pq.write_table(pa.table({"other": range(len(ids)), "user": ids}), file, row_group_size=rows)
    return file


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_slice_is_that_of_the_list(data, tmp_path_factory):
    place = tmp_path_factory.mktemp("users")
    lengths = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=4))
    expected: list[str] = []
    for number, length in enumerate(lengths):
        ids = [f"{number}-{row}" for row in range(length)]
        write(place / f"part-{number}.parquet", pa.array(ids, pa.string()), data.draw(st.integers(1, 9)))
        expected += ids
    table = UserTable(place)
    assert len(table) == len(expected)
    assert list(table) == expected
    start, stop = data.draw(st.integers(0, 90)), data.draw(st.integers(0, 90))
    assert table[start:stop] == expected[start:stop]


@pytest.mark.parametrize("kind", [pa.int64(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_ids_are_text_whatever_their_type(kind, tmp_path):
    ids = [7, 11] if pa.types.is_integer(kind) else ["7", "11"]
    column = pa.array(ids).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(ids, kind)
    table = UserTable(write(tmp_path / "users.parquet", column))
    assert list(table) == table[0:2] == ["7", "11"]


def test_parts_beside_which_other_files_lie(tmp_path):
    write(tmp_path / "b.parquet", pa.array(["2"]))
    write(tmp_path / "a.parquet", pa.array(["1"]))
    write(tmp_path / ".hidden.parquet", pa.array(["3"]))
    (tmp_path / "_SUCCESS").touch()
    assert list(UserTable(tmp_path)) == ["1", "2"]


def test_what_is_no_table_of_users_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.parquet does not exist"):
        UserTable(tmp_path / "gone.parquet")
    with pytest.raises(FileNotFoundError, match=r"ends in \.parquet"):
        UserTable(tmp_path)
    file = tmp_path / "users.parquet"
    pq.write_table(pa.table({"uid": ["1"]}), file)
    with pytest.raises(ValueError, match="needs one column 'user'; it has 'uid'"):
        UserTable(file)
    write(file, pa.array([1.0]))
    with pytest.raises(ValueError, match="decimal point"):
        UserTable(file)
    file.write_text("1\n2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no Parquet file"):
        UserTable(file)
    write(file, pa.array(["1", None]))
    with pytest.raises(ValueError, match="1 rows without a user"):
        list(UserTable(file))
