"""A table of lists does not depend on how its rows came, and its row groups are of one size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recbole_hetcomp.data.rankings import writing
from recbole_hetcomp.serving.recommender import Recommendations
from recbole_hetcomp.serving.writing import rows_of, write_rows


def lists(n_users: int) -> Recommendations:
    """Lists of up to three items; every third user is unknown, and has two."""
    users = np.array([f"u{number}" for number in range(n_users)], dtype=object)
    items = np.empty((n_users, 3), dtype=object)
    for number in range(n_users):
        items[number] = f"i{number}", f"i{number + 1}", None if number % 3 == 0 else "i0"
    scores = np.where(items == None, np.nan, np.arange(3.0))  # noqa: E711
    return Recommendations(users, items, scores.astype(np.float32), np.arange(n_users) % 3 == 0)


@pytest.mark.parametrize("ending", ["parquet", "csv", "trec"])
def test_any_cut_gives_the_same_file(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "ROW_GROUP", 32)
    rows = rows_of(lists(60))
    contents = []
    for step in (1, 7, 32, 50, 1000):
        file = tmp_path / f"{step}.{ending}"
        batches = (rows.slice(start, step) for start in range(0, len(rows), step))
        assert write_rows(file, batches) == (160, 20)
        contents.append(file.read_bytes())
    assert len(set(contents)) == 1
    if ending == "parquet":
        with pq.ParquetFile(file) as opened:
            groups = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
            assert groups == [32] * 5
            assert opened.read().equals(pa.Table.from_batches([rows]))


def test_rows_are_those_of_the_frame():
    part = lists(5)
    assert rows_of(part).to_pandas().to_dict("list") == part.frame().to_dict("list")


def test_no_rows_are_a_table_of_none(tmp_path):
    file = tmp_path / "none.parquet"
    assert write_rows(file, [rows_of(lists(0))]) == (0, 0)
    assert pq.read_table(file).num_rows == 0
    with pytest.raises(ValueError, match="nothing to write"):
        write_rows(tmp_path / "nothing.parquet", [])
    assert not (tmp_path / "nothing.parquet").exists()
