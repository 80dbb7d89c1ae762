"""Each format, and an error with the number of the line for each way in which a line can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_hetcomp.data.prepare import Layout, Records, read

AMAZON = Layout("ratings-csv")
CHECKINS = Layout("checkins")
MOVIELENS = Layout("movielens")
TABLE = Layout("table")


@pytest.fixture
def reading(tmp_path):
    """``reading(text, layout)``: what is read from a file with this text."""

    def call(text: str, layout: Layout, name: str = "raw.csv") -> Records:
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return read(file, layout)

    return call


def pairs(records: Records) -> list[tuple[str, str]]:
    return list(zip(records.user_ids[records.users], records.item_ids[records.items]))


# --- what is read ---


def test_citeulike_numbers_users_by_line(reading):
    records = reading("2 7 3\n0\n1 7\n", Layout("citeulike"))
    assert pairs(records) == [("0", "7"), ("0", "3"), ("2", "7")]
    assert records.n_users == 2
    assert records.n_items == 2
    assert records.ratings is None


def test_ratings_csv(reading):
    records = reading("A1,B1,5.0,1300\nA2,B1,2.0,1301\nA1,B2,4.5,1302\n", AMAZON)
    assert pairs(records) == [("A1", "B1"), ("A2", "B1"), ("A1", "B2")]
    np.testing.assert_array_equal(records.ratings, [5.0, 2.0, 4.5])
    np.testing.assert_array_equal(records.timestamps, [1300, 1301, 1302])


def test_ratings_csv_with_items_first(reading):
    records = reading("B1,A1,5.0,1300\n", Layout("ratings-csv", columns=("item", "user", "rating", "_")))
    assert pairs(records) == [("A1", "B1")]
    assert records.timestamps is None


@pytest.mark.parametrize("text", ["0\t5\n1\t5\n", "0\t5\t1333476006.0\n1\t5\t1333476007.0\n", "0 5 3\n 1   5 1\n"])
def test_checkins_with_and_without_a_third_column(reading, text):
    records = reading(text, CHECKINS)
    assert pairs(records) == [("0", "5"), ("1", "5")]
    assert records.ratings is None
    assert records.timestamps is None


def test_checkins_with_a_frequency(reading):
    records = reading("0 5 3\n1 5 1\n", Layout("checkins", columns=("user", "item", "rating")))
    np.testing.assert_array_equal(records.ratings, [3, 1])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_movielens(reading, end):
    text = end.join(["1::1193::5::978300760", "1::661::3.5::978302109", "10::1193::4::978300275", ""])
    records = reading(text, MOVIELENS, "ratings.dat")
    assert pairs(records) == [("1", "1193"), ("1", "661"), ("10", "1193")]
    np.testing.assert_array_equal(records.ratings, [5, 3.5, 4])
    np.testing.assert_array_equal(records.timestamps, [978300760, 978302109, 978300275])


def test_table_picks_its_columns_by_name(reading):
    layout = Layout("table", user_column="who", item_column="what", rating_column="stars", timestamp_column="when")
    records = reading("when,what,note,who,stars\n1,x,,a,5\n2,y,,b,4\n", layout)
    assert pairs(records) == [("a", "x"), ("b", "y")]
    np.testing.assert_array_equal(records.ratings, [5, 4])
    np.testing.assert_array_equal(records.timestamps, [1, 2])


@pytest.mark.parametrize(
    ("name", "text", "separator"),
    [
        ("raw.tsv", "user_id\titem_id\na\tb\n", None),
        ("raw.csv", "user_id;item_id\na;b\n", ";"),
        ("raw.csv", "\ufeffuser_id,item_id\na,b\n", None),
        ("raw.csv", "user_id,item_id\r\na,b\r\n", None),
        ("raw.csv", 'user_id,item_id\n"a",b\n', None),
    ],
)
def test_tables_of_many_kinds(reading, name, text, separator):
    assert pairs(reading(text, Layout(separator=separator), name)) == [("a", "b")]


def test_gzip(tmp_path):
    file = tmp_path / "raw.tsv.gz"
    file.write_bytes(gzip.compress(b"user_id\titem_id\na\tb\n"))
    assert pairs(read(file, TABLE)) == [("a", "b")]


def test_gzip_with_a_long_separator(tmp_path):
    file = tmp_path / "ratings.dat.gz"
    file.write_bytes(gzip.compress(b"\xef\xbb\xbf1::1193::5::978300760\n"))
    assert pairs(read(file, MOVIELENS)) == [("1", "1193")]


def test_ids_keep_their_spelling(reading):
    assert pairs(reading("user_id,item_id\n007,1e3\n7,1000\n", TABLE)) == [("007", "1e3"), ("7", "1000")]


def test_parquet(tmp_path):
    file = tmp_path / "raw.parquet"
    when = pd.to_datetime(["1970-01-02", "1970-01-01"], utc=True)
    pd.DataFrame({"user_id": [3, 1], "item_id": ["x", "y"], "when": when, "other": 0}).to_parquet(file)
    records = read(file, Layout(timestamp_column="when"))
    assert pairs(records) == [("3", "x"), ("1", "y")]
    np.testing.assert_array_equal(records.timestamps, [86400, 0])


# --- what is refused ---


@pytest.mark.parametrize(
    ("layout", "text", "message"),
    [
        (Layout("citeulike"), "1 5\n3 1 2\n", "line 2 .* announces 3 items and has 2"),
        (Layout("citeulike"), "1 5\n\n1 2\n", "line 2 .* is ''"),
        (Layout("citeulike"), "1 5\n1 x\n", "line 2 .* is '1 x'"),
        (Layout("citeulike"), "", "holds no interaction"),
        (AMAZON, "A,B,5,1\nA,C,3\n", "line 2 .* nothing in column 'timestamp'"),
        (AMAZON, "A,B,5\nA,C,3,1\n", "line 1 .* nothing in column 'timestamp'"),
        (AMAZON, "A,B,5,1\nA,C,3,1,x\n", "line 2 .* more than 4 fields: user, item, rating, timestamp"),
        (AMAZON, "A,B,5,1\nA,C,3,1,x,y\n", "line 2 .* more than 4 fields"),
        (AMAZON, "A,B,5,1,x,y\nA,C,3,1\n", "line 1 .* more than 4 fields"),
        (AMAZON, "A,B,5,1\n\nA,C,3,1\n", "line 2 .* nothing in column 'user'"),
        (AMAZON, "A,B,5,1\nA,C,x,1\n", "line 2 .* has 'x' in column 'rating'"),
        (AMAZON, "A,B,inf,1\n", "line 1 .* has 'inf' in column 'rating'"),
        (AMAZON, "user,item,rating,timestamp\nA,B,5,1\n", "line 1 .* has 'rating' in column 'rating'"),
        (AMAZON, 'A,B,5,1\nA,"C,5,1\n', "line 2 .* opens a quote"),
        (AMAZON, "A,NA,5,1\n", "item id 'NA'"),
        (AMAZON, "", "holds no interaction"),
        (CHECKINS, "0 5\n0 6 1\n", "line 2 .* more than 2 fields"),
        (CHECKINS, "0 5 1\n0 6\n", "line 2 .* nothing in column '_3'"),
        (CHECKINS, "0 5 1 2\n", "line 1 .* more than 3 fields"),
        (CHECKINS, "", "holds no interaction"),
        (MOVIELENS, "1::2::3::4\n1::2::3\n", "line 2 .* nothing in column 'timestamp'"),
        (MOVIELENS, "1::2::3::4\n1::::3::4\n", "line 2 .* nothing in column 'item'"),
        (MOVIELENS, "1::2::3::4\n1::2::3::4::5\n", "line 2 .* more than 4 fields: user, item, rating, timestamp"),
        (MOVIELENS, "1::2::3::4::5\n1::2::3::4\n", "line 1 .* more than 4 fields"),
        (MOVIELENS, "1::2::3::4\n\n1::2::3::4\n", "line 2 .* nothing in column 'user'"),
        (MOVIELENS, "1:2:3:4\n", "line 1 .* nothing in column 'item'"),
        (MOVIELENS, "1::2::x::4\n", "line 1 .* has 'x' in column 'rating'"),
        (MOVIELENS, "", "holds no interaction"),
        (TABLE, "who,item\na,b\n", "no column of users .* it has 'who', 'item'; say which it is by --user_column"),
        (TABLE, "user,what\na,b\n", "no column of items .* it has 'user', 'what'; .* --item_column"),
        (Layout(user_column="who"), "user,item\na,b\n", "no column 'who'; it has 'user', .* --user_column"),
        (TABLE, "user_id,item_id,item_id\na,b,c\n", "more than one column 'item_id'"),
        (TABLE, "user_id,item_id,x\na,b,1\na,,1\n", "line 3 .* nothing in column 'item_id'"),
        (TABLE, "user_id,item_id\na,b\na,b,c\n", "line 3 .* more than 2 fields"),
        (TABLE, "user_id,item_id\na,b\na,b,c,d\n", "line 3 .* more than 2 fields"),
        (TABLE, "user_id,item_id\na,b,c,d\na,b\n", "line 2 .* more than 2 fields"),
        (TABLE, "user_id,item_id\na,b\n\na,c\n", "line 3 .* nothing in column 'user_id'"),
        (TABLE, 'user_id,item_id\na,"b\n', "line 2 .* opens a quote"),
        (TABLE, 'user_id,item_id\na,"b\nc"\n', "item id 'b.nc'"),
        (TABLE, "", "no column of users with a usual name; it has none"),
        (TABLE, "user_id,item_id\n", "holds no interaction"),
    ],
)
def test_a_wrong_line_is_named(reading, layout, text, message):
    with pytest.raises(ValueError, match=message):
        reading(text, layout)


def test_text_that_is_not_utf8(tmp_path):
    for layout in (TABLE, AMAZON, CHECKINS, MOVIELENS, Layout("citeulike")):
        file = tmp_path / "raw.csv"
        file.write_bytes(b"user_id,item_id,3,4\n\xff,b,3,4\n")
        with pytest.raises(ValueError, match="not UTF-8"):
            read(file, layout)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1.0, 2.0], "item_id": [1, 2]}, "column 'user_id' .* holds 1.0"),
        ({"user_id": ["a", None], "item_id": [1, 2]}, "row 2 .* nothing in column 'user_id'"),
        ({"who": ["a"], "item_id": [1]}, "no column of users .* it has 'who', 'item_id'"),
    ],
)
def test_a_wrong_parquet_file(tmp_path, columns, message):
    file = tmp_path / "raw.parquet"
    pd.DataFrame(columns).to_parquet(file)
    with pytest.raises(ValueError, match=message):
        read(file, TABLE)


def test_a_file_that_is_only_called_parquet(reading):
    with pytest.raises(ValueError, match="not a Parquet file"):
        reading("x", TABLE, "raw.parquet")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("citeulike", "js05212/citeulike-t"),
        ("ratings-csv", "jmcauley"),
        ("checkins", "eval-vldb17"),
        ("movielens", "ml-1m.zip"),
    ],
)
def test_a_missing_file_says_where_to_get_it(name, place):
    with pytest.raises(FileNotFoundError, match=place) as caught:
        read(Path("nowhere.dat"), Layout(name))
    assert "Access Denied" in str(caught.value)


def test_one_column_cannot_be_two_things(reading):
    with pytest.raises(ValueError, match="named twice"):
        reading("user_id,item_id\na,b\n", Layout(item_column="user_id"))
