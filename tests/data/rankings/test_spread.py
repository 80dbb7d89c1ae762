"""A table that workers of a Ray cluster read is that of one reader, faults included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recbole_hetcomp import ray_api
from recbole_hetcomp.data.rankings.reading import RankingTable
from recbole_hetcomp.data.rankings.spread import SpreadTable


def works() -> bool:
    try:
        ray_api.data()
    except RuntimeError:
        return False
    return True


needs_ray_data = pytest.mark.skipif(not works(), reason="this Ray's Data does not work with today's pandas")


@pytest.mark.skipif(works(), reason="Ray Data works here")
def test_a_ray_whose_data_does_not_work_is_said(tmp_path):
    with pytest.raises(RuntimeError, match="a newer Ray does"):
        SpreadTable(folder_of_parts(tmp_path))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    from recbole_hetcomp.tune.cluster import ray_cluster

    with ray_cluster():
        yield


def frame(rows: int, first: int = 0) -> pd.DataFrame:
    number = np.arange(first, first + rows)
    return pd.DataFrame({"user": number // 5, "item": number * 7 % 11, "score": -(number % 5) / 2, "epoch": number % 2})


def read(table: RankingTable) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"user": rows.users, "item": rows.items, "key": rows.key, "snapshot": rows.snapshot})
        for rows in table.batches()
    ]
    return pd.concat(parts, ignore_index=True)


def folder_of_parts(folder: Path) -> Path:
    """Two Parquet files, one of them of several row groups."""
    place = folder / "parts"
    place.mkdir()
    pq.write_table(pa.Table.from_pandas(frame(1000)), place / "a.parquet", row_group_size=150)
    pq.write_table(pa.Table.from_pandas(frame(37, first=1000)), place / "b.parquet")
    return place


@needs_ray_data
def test_rows_and_their_order_are_those_of_one_reader(cluster, tmp_path):
    place = folder_of_parts(tmp_path)
    alone, spread = RankingTable(place), SpreadTable(place)
    pd.testing.assert_frame_equal(read(alone), read(spread))
    assert alone.sorted_by == spread.sorted_by == "score"
    csv = tmp_path / "table.csv"
    csv.write_bytes(b"\xef\xbb\xbf" + frame(20).to_csv(index=False).encode())
    alone, spread = RankingTable(csv), SpreadTable(csv)
    pd.testing.assert_frame_equal(read(alone), read(spread))
    assert set(spread.notes) == set(alone.notes) == {f"{csv} begins with a byte-order mark: left out"}


@needs_ray_data
def test_what_a_worker_meets_is_said_as_one_reader_says_it(cluster, tmp_path):
    csv = tmp_path / "table.csv"
    csv.write_text("user,item,rank\n1,2,3\n1,2,three\n", encoding="utf-8")
    messages = []
    for kind in (RankingTable, SpreadTable):
        with pytest.raises(ValueError, match=r"table.csv cannot be read as csv: .*three") as raised:
            read(kind(csv))
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    place = folder_of_parts(tmp_path)
    (place / "b.parquet").write_bytes((place / "b.parquet").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"b.parquet is truncated"):
        read(SpreadTable(place))


@needs_ray_data
def test_an_empty_table_has_no_rows(cluster, tmp_path):
    file = tmp_path / "empty.parquet"
    pq.write_table(pa.Table.from_pandas(frame(0)), file)
    assert sum(len(rows.key) for rows in SpreadTable(file).batches()) == 0
