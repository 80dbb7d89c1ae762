"""Tables of rankings: read, matched, grouped; each malformed file has its message."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.data.rankings import reading
from recbole_hetcomp.data.rankings.grouping import GroupedTable, Ids
from recbole_hetcomp.data.rankings.mismatches import KINDS, Mismatches
from recbole_hetcomp.data.rankings.reading import RankingTable
from recbole_hetcomp.data.rankings.schema import VERSION_KEY
from recbole_hetcomp.data.rankings.writing import write_rankings

USERS, ITEMS = ["[PAD]", "ann", "bob", "7"], ["[PAD]", "x", "y", "z", "1"]
SEEN = Ragged.from_pairs(torch.tensor([1, 2]), torch.tensor([3, 1]), n_users=4)  # ann: z, bob: x
GOOD = pd.DataFrame({
    "user": ["bob", "ann", "7", "ann", "bob", "ann"],
    "item": ["y", "z", "x", "1", "x", "x"],
    "rank": [2, 3, 1, 2, 1, 1],
})  # fmt: skip


def lists(table: RankingTable, folder: Path, allow: dict[str, float] | None = None):
    """{label: {user: items}} of a table, and what did not match; refused as the import refuses."""
    counted = Mismatches(str(table.place), allow or {}, length=2)
    found: dict[int, dict[str, list[str]]] = {}
    with GroupedTable(Ids(USERS), Ids(ITEMS), SEEN, counted, folder / "spool") as rows:
        rows.deal(table)

        def append(number: int, user: np.ndarray, item: np.ndarray) -> None:
            assert (np.diff(user) >= 0).all()
            for one, other in zip(user, item):
                found.setdefault(rows.snapshots[number], {}).setdefault(USERS[one], []).append(ITEMS[other])

        rows.lists(append)
    assert not list((folder / "spool").iterdir())
    counted.check()
    return found, counted


def written(folder: Path, frame: pd.DataFrame, name: str = "table.csv") -> Path:
    file = folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="\t" if ".tsv" in name else ",")
    return file


EXPECTED = {0: {"ann": ["x", "1", "z"], "bob": ["x", "y"], "7": ["x"]}}


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.csv.gz", "table.parquet"])
def test_rows_of_any_order_become_lists(tmp_path, name):
    found, counted = lists(RankingTable(written(tmp_path, GOOD, name)), tmp_path)
    assert found == EXPECTED
    assert {kind: count for kind, count in counted.counts.items() if count} == {"seen": 2, "short": 2}
    assert (counted.total["lists"], counted.total["users"]) == (3, 3)


def test_whole_numbers_are_the_same_ids_as_their_text(tmp_path):
    frame = pd.DataFrame({"user": [7, 7], "item": [1, 1], "rank": [1, 1], "epoch": [3, 5]})
    found, _ = lists(RankingTable(written(tmp_path, frame, "table.parquet")), tmp_path)
    assert found == {3: {"7": ["1"]}, 5: {"7": ["1"]}}


def test_scores_sort_downwards_and_the_rank_wins_where_both_are_there(tmp_path):
    file = written(tmp_path, GOOD.assign(score=[9.0, 8.0, 0.1, 5.0, 4.0, 7.0]))
    assert lists(RankingTable(file), tmp_path)[0] == EXPECTED
    by_score, _ = lists(RankingTable(file, by="score"), tmp_path)
    assert by_score == {0: {"ann": ["z", "x", "1"], "bob": ["y", "x"], "7": ["x"]}}


def test_a_trec_run_is_sorted_by_its_score(tmp_path):
    file = tmp_path / "llm.run"
    file.write_text("ann Q0 x 1 0.5 llm\nann Q0 y 2 0.7 llm\n7 Q0 1 1 0.1 llm\n")
    assert lists(RankingTable(file), tmp_path)[0] == {0: {"ann": ["y", "x"], "7": ["1"]}}
    assert lists(RankingTable(file, by="rank"), tmp_path)[0] == {0: {"ann": ["x", "y"], "7": ["1"]}}


def test_a_folder_of_parts_is_one_table(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    written(parts, GOOD[:3], "part-0.parquet")
    written(parts, GOOD[3:], "part-1.parquet")
    (parts / "_SUCCESS").touch()
    assert lists(RankingTable(parts), tmp_path)[0] == EXPECTED


def _many(file: Path, n: int = 1000) -> list[tuple[str, str]]:
    """A table that is read in many small pieces; its rows."""
    pairs = [(f"u{number}", f"i{number % 7}") for number in range(n)]
    table = pa.table({"user": [user for user, _ in pairs], "item": [item for _, item in pairs], "rank": range(n)})
    if file.suffix == ".csv":
        pyarrow.csv.write_csv(table, file)
        return pairs
    parts = [table.slice(start, 50) for start in range(0, n, 50)]  # each with a dictionary of its own
    coded = [part.set_column(0, "user", part["user"].combine_chunks().dictionary_encode()) for part in parts]
    with pq.ParquetWriter(file, coded[0].schema) as writer:
        for part in coded:
            writer.write_table(part)
    return pairs


@pytest.mark.parametrize("name", ["table.parquet", "table.csv"])
@pytest.mark.parametrize(("rows", "size", "batches"), [(400, 1 << 30, 3), (1 << 30, 1 << 30, 1), (1 << 30, 4000, 4)])
def test_small_pieces_are_joined_up_to_a_limit(tmp_path, monkeypatch, name, rows, size, batches):
    pairs = _many(tmp_path / name)
    monkeypatch.setattr(reading, "BATCH_ROWS", rows)
    monkeypatch.setattr(reading, "BATCH_BYTES", size)
    monkeypatch.setattr(reading, "_READ_ROWS", 20)
    monkeypatch.setattr(reading, "_READ_BYTES", 300)
    found = [*RankingTable(tmp_path / name).batches()]
    read = [pair for rows in found for pair in zip(rows.users.to_pylist(), rows.items.to_pylist())]
    assert read == pairs
    assert len(found) == batches if size > 4000 else len(found) >= batches  # bytes differ between formats


def test_other_names_of_columns(tmp_path):
    file = written(tmp_path, GOOD.rename(columns={"user": "uid", "rank": "place"}))
    found, _ = lists(RankingTable(file, columns={"user": "uid", "rank": "place"}), tmp_path)
    assert found == EXPECTED


def test_a_byte_order_mark_is_left_out_and_said(tmp_path):
    file = tmp_path / "table.csv"
    file.write_bytes(codecs.BOM_UTF8 + GOOD.to_csv(index=False).encode())
    table = RankingTable(file)
    assert lists(table, tmp_path)[0] == EXPECTED
    assert table.notes == [f"{file} begins with a byte-order mark: left out"]


def more(**row):
    return pd.concat([GOOD, pd.DataFrame([row])], ignore_index=True)


MALFORMED = {
    "no column 'user' for 'user'; it has 'uid', 'item', 'rank'": GOOD.rename(columns={"user": "uid"}),
    "no column 'rank' and no column 'score'; it has 'user', 'item', 'place'": GOOD.rename(columns={"rank": "place"}),
    r"1 of 7 rows \(14.3%\) name items that the data set does not have: left out \(such as 'q'\); at most 5%": more(
        user="ann", item="q", rank=9
    ),
    r"name users that the data set does not have: left out \(such as 'eve'\)": more(user="eve", item="x", rank=9),
    r"repeat a user's rank: .*such as 'user ann, item y'": more(user="ann", item="y", rank=1),
    r"repeat a user, item and snapshot: .*such as 'user ann, item x'": more(user="ann", item="x", rank=9),
    r"have no id, snapshot, rank or score, or NaN or infinity there: left out; at most 0%": more(
        user="ann", item="y", rank=float("nan")
    ),
    "allow missing=0.143": more(user="", item="y", rank=9),
}


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
@pytest.mark.parametrize("message", MALFORMED)
def test_each_malformed_table_has_its_message(tmp_path, name, message):
    file = written(tmp_path, MALFORMED[message], name)
    with pytest.raises(ValueError, match=message) as refused:
        lists(RankingTable(file), tmp_path)
    assert str(refused.value).startswith(str(file))


def test_what_is_refused_may_be_allowed(tmp_path):
    file = written(tmp_path, more(user="ann", item="q", rank=9))
    assert lists(RankingTable(file), tmp_path, {"unknown_item": 0.15})[0] == EXPECTED
    with pytest.raises(ValueError, match="allow names 'unknown_itm'; known are unknown_user"):
        Mismatches("t", {"unknown_itm": 0.1})
    with pytest.raises(ValueError, match="allow tie=2 is not allowed: a share within 0 and 1"):
        Mismatches("t", {"tie": 2})


def test_equal_scores_are_counted_and_go_to_the_item_named_first(tmp_path):
    file = written(tmp_path, pd.DataFrame({"user": "7", "item": ["1", "y", "x"], "score": [1.0, 1.0, 2.0]}))
    found, counted = lists(RankingTable(file), tmp_path)
    assert found == {0: {"7": ["x", "y", "1"]}}
    assert counted.counts["tie"] == 1
    with pytest.raises(ValueError, match=r"1 of 3 rows .* repeat a user's score"):
        lists(RankingTable(file), tmp_path, {"tie": 0.0})


@pytest.mark.parametrize("kept", [0, 3, 50, -1])
def test_a_truncated_parquet_file(tmp_path, kept):
    file = written(tmp_path, GOOD, "table.parquet")
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"table.parquet is truncated, or no Parquet file at all"):
        lists(RankingTable(file), tmp_path)


def test_a_damaged_page_of_a_parquet_file(tmp_path):
    file = tmp_path / "table.parquet"
    pq.write_table(pa.Table.from_pandas(GOOD), file, compression="zstd")
    content = bytearray(file.read_bytes())
    content[4:60] = b"\xff" * 56
    file.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"table.parquet cannot be read as parquet"):
        lists(RankingTable(file), tmp_path)


def test_a_truncated_gzip_file(tmp_path):
    file = tmp_path / "table.csv.gz"
    file.write_bytes(gzip.compress(GOOD.to_csv(index=False).encode())[:-12])
    with pytest.raises(ValueError, match=r"table.csv.gz cannot be read as csv"):
        lists(RankingTable(file), tmp_path)


def test_ids_that_were_read_as_floating_point(tmp_path):
    frame = pd.DataFrame({"user": [7.0, None], "item": [1, 2], "rank": [1, 2]})
    with pytest.raises(ValueError, match=r"numbers with a decimal point \(double\) in column 'user'; .* 1.0 is not"):
        lists(RankingTable(written(tmp_path, frame, "table.parquet")), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,item,rank\nann,1.0,1\nann,x,2\n", "names '1.0', and the data set has '1': ids were written as numbers"),
        ("user,item,rank\nann,x,first\n", r"cannot be read as csv: .*invalid value 'first'"),
        ("user,item,rank\nann,x,1\nann,y\n", r"cannot be read as csv: .*Expected 3 columns, got 2"),
        ("user,item,rank,user\nann,x,1,bob\n", "more than one column 'user'"),
        ("user,item,rank,epoch\nann,x,1,0.5\n", r"cannot be read as csv: .*invalid value '0.5'"),
        ("", "table.csv is empty"),
    ],
)
def test_text_that_is_no_table(tmp_path, text, message):
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        lists(RankingTable(file), tmp_path)


def test_text_in_other_encodings(tmp_path):
    file = tmp_path / "table.csv"
    file.write_bytes(GOOD.to_csv(index=False).encode("utf-16"))
    with pytest.raises(ValueError, match="byte-order mark of UTF-16 or UTF-32; write it as UTF-8"):
        lists(RankingTable(file), tmp_path)
    file.write_bytes("user,item,rank\nj\xfcrgen,x,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"cannot be read as csv: .*invalid UTF8"):
        lists(RankingTable(file), tmp_path)


def test_a_trec_run_of_five_columns(tmp_path):
    file = tmp_path / "llm.run"
    file.write_text("ann Q0 x 1 0.5\n")
    with pytest.raises(ValueError, match="5 fields in line 1; needed of a TREC run: 6, user Q0 item rank score tag"):
        lists(RankingTable(file), tmp_path)


def test_places_and_settings_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.csv does not exist"):
        RankingTable(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match=r"holds no file that ends in \.parquet"):
        RankingTable(tmp_path)
    with pytest.raises(ValueError, match="format is not known from its ending"):
        RankingTable(written(tmp_path, GOOD, "table.dat"))
    file = written(tmp_path, GOOD)
    with pytest.raises(ValueError, match="columns names 'usr'; allowed: user, item, rank, score, snapshot"):
        RankingTable(file, columns={"usr": "uid"})
    with pytest.raises(ValueError, match="no column 'score' for 'score'"):
        lists(RankingTable(file, by="score"), tmp_path)


def test_a_later_version_is_refused(tmp_path):
    file = tmp_path / "table.parquet"
    pq.write_table(pa.Table.from_pandas(GOOD).replace_schema_metadata({VERSION_KEY: b"2"}), file)
    with pytest.raises(ValueError, match="has version 2 of the schema of rankings; this one reads 1"):
        lists(RankingTable(file), tmp_path)


def naive(rows):
    """{label: {user: items}} by plain loops: known ids, the best of repeated items, ties in the data's order."""
    found: dict[int, dict[str, list[str]]] = {}
    for label in sorted({row[3] for row in rows if row[0] in USERS[1:] and row[1] in ITEMS[1:]}):
        for user in USERS[1:]:
            best: dict[str, int] = {}
            for one, item, rank, epoch in rows:
                if (one, epoch) == (user, label) and item in ITEMS[1:]:
                    best[item] = min(rank, best.get(item, rank))
            if best:
                found.setdefault(label, {})[user] = sorted(best, key=lambda item: (best[item], ITEMS.index(item)))
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*USERS[1:], "eve"]), st.sampled_from([*ITEMS[1:], "q"]),
                          st.integers(1, 4), st.sampled_from([0, 2, 9])), min_size=1, max_size=30))  # fmt: skip
def test_grouping_agrees_with_plain_loops(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("table")
    file = written(folder, pd.DataFrame(rows, columns=["user", "item", "rank", "epoch"]), "table.parquet")
    assert lists(RankingTable(file), folder, dict.fromkeys(KINDS, 1.0))[0] == naive(rows)


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.tsv", "out.trec"])
def test_what_is_written_is_read(tmp_path, name):
    user, item = np.array([1, 1, 2, 3]), np.array([4, 1, 2, 1])
    blocks = [(0, user, item, np.array([False, False, False, False]))]
    assert write_rankings(tmp_path / name, Ids(USERS), Ids(ITEMS), blocks) == 4
    found, _ = lists(RankingTable(tmp_path / name), tmp_path)
    assert found == {0: {"ann": ["1", "x"], "bob": ["y"], "7": ["x"]}}
    if name.endswith("parquet"):
        assert pq.read_schema(tmp_path / name).metadata[VERSION_KEY] == b"1"


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    file = tmp_path / "out.trec"
    file.write_text("old")
    blocks = [(0, np.array([1]), np.array([1]), np.array([False]))]
    with pytest.raises(ValueError, match="the user id 'ann lee' cannot stand in a TREC run"):
        write_rankings(file, Ids(["[PAD]", "ann lee"]), Ids(ITEMS), blocks)
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.trec"]
