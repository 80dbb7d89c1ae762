"""Files as people's tools write them: encodings, line ends, usual names, folders of parts, columns to keep."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from recbole_hetcomp.data.prepare import Filters, Layout, Records, prepare, read

TABLE = Layout("table")
ROWS = [("ü1", "x"), ("b", "y")]
FORMATS = {
    "table": ("user_id,item_id\nü1,x\nb,y\n", TABLE),
    "ratings-csv": ("ü1,x,5,1\nb,y,4,2\n", Layout("ratings-csv")),
    "movielens": ("ü1::x::5::1\nb::y::4::2\n", Layout("movielens")),
    "checkins": ("ü1 x 5\nb y 4\n", Layout("checkins")),
}


def pairs(records: Records) -> list[tuple[str, str]]:
    return list(zip(records.user_ids[records.users], records.item_ids[records.items]))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("tail", ["", "{end}{end}", " {end}"])
def test_marks_line_ends_and_empty_lines_at_the_end(tmp_path, name, encoding, end, tail):
    text, layout = FORMATS[name]
    content = (text + tail.format(end="\n")).replace("\n", end).encode(encoding)
    for file, data in (
        ("raw.csv", content),
        ("raw.csv.gz", gzip.compress(content, mtime=0)),
        ("packed", gzip.compress(content, mtime=0)),
    ):
        (tmp_path / file).write_bytes(data)
        assert pairs(read(tmp_path / file, layout)) == ROWS


def test_a_spreadsheet_leaves_separators_at_the_end(tmp_path):
    file = tmp_path / "raw.csv"
    file.write_text("user_id,item_id,x\na,b,1\n,,\n,,\n")
    assert pairs(read(file, TABLE)) == [("a", "b")]


def test_citeulike_with_marks_and_empty_lines(tmp_path):
    file = tmp_path / "users.dat"
    file.write_bytes("1 5\r\n2 5 6\r\n\r\n".encode("utf-8-sig"))
    assert pairs(read(file, Layout("citeulike"))) == [("0", "5"), ("1", "5"), ("1", "6")]


@pytest.mark.parametrize("name", FORMATS)
def test_another_encoding_is_named_or_asked_for(tmp_path, name):
    text, layout = FORMATS[name]
    file = tmp_path / "raw.csv"
    file.write_bytes(text.encode("latin-1"))
    line = 2 if name == "table" else 1
    with pytest.raises(
        ValueError, match=f"line {line} of .*raw.csv is not UTF-8 text: byte 0xfc; .* --encoding latin-1"
    ):
        read(file, layout)
    assert pairs(read(file, Layout(layout.format, encoding="latin-1"))) == ROWS


def test_the_line_of_a_byte_far_inside(tmp_path):
    file = tmp_path / "raw.csv"
    file.write_bytes(b"user_id,item_id\n" + b"a,b\n" * 50_000 + b"\xff,b\n" + b"a,b\n" * 9)
    with pytest.raises(ValueError, match=r"line 50002 of .* is not UTF-8 text: byte 0xff"):
        read(file, TABLE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id,item_id\na,b\n".encode("utf-16-le"), "zero bytes: it is no text, or UTF-16 without a mark"),
        (
            gzip.compress(b"user_id,item_id\n" + b"a,b\n" * 99, mtime=0)[:-20],
            "compressed by gzip, and cut off or damaged",
        ),
        (b"", "no column of users with a usual name; it has none"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, content, message):
    file = tmp_path / "raw.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read(file, TABLE)
    assert str(file) in str(caught.value)


def test_an_unknown_encoding():
    with pytest.raises(ValueError, match="encoding is 'latin-17'; allowed: utf-8"):
        Layout(encoding="latin-17")


@pytest.mark.parametrize(
    "header",
    ["userId,movieId", "user,item", "UserID;ItemID", "user_id:token\titem_id:token", "uid|asin", "User ID,Item-Id"],
)
def test_usual_names_and_separators(tmp_path, header):
    file = tmp_path / "raw.csv"
    separator = next(sign for sign in ",;\t|" if sign in header)
    file.write_text(f"{header}\na{separator}b\n")
    assert pairs(read(file, TABLE)) == [("a", "b")]


def test_the_first_usual_name_wins(tmp_path):
    file = tmp_path / "raw.csv"
    file.write_text("user,item,item_id,user_id\n1,2,b,a\n")
    assert pairs(read(file, TABLE)) == [("a", "b")]


def test_parquet_with_its_index_set(tmp_path):
    file = tmp_path / "raw.parquet"
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": [1, 2], "kind": pd.Categorical(["x", "y"])})
    for index, columns in (("user_id", {}), (["user_id", "item_id"], {}), ("user_id", {"item_column": "kind"})):
        frame.set_index(index).to_parquet(file)
        items = ["x", "y"] if columns else ["1", "2"]
        assert pairs(read(file, Layout(**columns))) == list(zip("ab", items))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_folder_as_spark_writes_it(tmp_path, kind):
    folder = tmp_path / f"ratings.{kind}"
    folder.mkdir()
    for name in ("_SUCCESS", "._SUCCESS.crc", f".part-00000.snappy.{kind}.crc"):
        (folder / name).write_bytes(b"crc" if name.startswith(".") else b"")
    parts = [[("b", "y", 2), ("a", "x", 1)], [], [("a", "y", 3)]]
    for number, rows in enumerate(parts):
        frame = pd.DataFrame(rows, columns=["userId", "itemId", "timestamp"]).astype({"timestamp": "int64"})
        file = folder / f"part-{number:05}.{kind}"
        frame.to_parquet(file) if kind == "parquet" else frame.to_csv(file, index=False)
    (folder / f"part-00009.{kind}").write_bytes(b"")
    records = read(folder, Layout(timestamp_column="timestamp"))
    assert pairs(records) == [("b", "y"), ("a", "x"), ("a", "y")]
    np.testing.assert_array_equal(records.timestamps, [2, 1, 3])
    made = prepare(folder, tmp_path, "toy", TABLE, Filters(min_user=1), split="none")
    assert made.card["input"]["file"] == folder.name
    (folder / f"part-00003.{kind}").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="part-00003"):
        read(folder, TABLE)


def test_folders_that_hold_nothing_to_read(tmp_path):
    (tmp_path / "_SUCCESS").write_text("")
    with pytest.raises(ValueError, match="folder without a file that holds data"):
        read(tmp_path, TABLE)
    with pytest.raises(ValueError, match="is a folder; format 'citeulike' reads one file"):
        read(tmp_path, Layout("citeulike"))


KEPT = "user,item,genre,price,serial\n" + "".join(
    f"u{user},i{item},{'' if item == 1 else 'a b'},{item}.5,{2**30 + item}\n" for user in range(4) for item in range(5)
)


@pytest.mark.parametrize("split", ["none", "paper"])
def test_columns_that_are_kept_reach_recbole(tmp_path, split):
    from recbole.config import Config
    from recbole.data import create_dataset

    file = tmp_path / "raw.csv"
    file.write_text(KEPT)
    made = prepare(file, tmp_path, "toy", Layout(keep_columns=("genre", "price", "serial")), split=split)
    files = sorted(made.folder.glob("*.inter"))
    for part in files:
        types = "genre:token\tprice:float\tserial:token"  # 2³⁰ and 2³⁰ + 1 are one number in 32 bits
        assert part.read_text().splitlines()[0] == f"user_id:token\titem_id:token\t{types}"
    frame = pd.concat([pd.read_csv(part, sep="\t") for part in files])
    assert frame["serial:token"].nunique() == 5
    assert (frame["genre:token"].isna() == (frame["item_id:token"] == "i1")).all()
    dataset = create_dataset(Config("BPR", "toy", [str(made.config_file)], {"state": "ERROR"}))
    assert {"genre", "price", "serial"} <= set(dataset.inter_feat.columns)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("genre", "genre:token"), "keep_columns is 'genre,genre:token'; allowed: each column once"),
        (("user id",), "keep_columns is 'user id'"),
        (("colour",), "no column 'colour'; it has 'user', 'item', 'genre'"),
        (("genre:float",), "line 2 of .*raw.csv has 'a b' in column 'genre', which is to be kept as float"),
        (("serial:float",), "column 'serial', which is to be kept as float; needed: numbers that RecBole's 32 bits"),
    ],
)
def test_columns_that_cannot_be_kept(tmp_path, columns, message):
    file = tmp_path / "raw.csv"
    file.write_text(KEPT)
    with pytest.raises(ValueError, match=message):
        read(file, Layout(keep_columns=columns))


@pytest.mark.parametrize(
    "times",
    [
        ("1704103200", "1704103201"),
        ("2024-01-01T10:00:00", "2024-01-01T10:00:01Z"),
        ("2024-01-01 12:00:00+02:00", "2024-01-01 10:00:01"),
    ],
)
def test_times_may_be_written_as_dates(tmp_path, times):
    file = tmp_path / "raw.csv"
    file.write_text("user,item,date\n" + "".join(f"a,{place},{time}\n" for place, time in enumerate(times)))
    layout = Layout("table", timestamp_column="date")
    assert read(file, layout).timestamps.tolist() == [1704103200, 1704103201]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (("01/31/2024", "02/01/2024"), r"line 2 of .*raw\.csv has '01/31/2024' .*needed: .*2024-01-31"),
        (("2024-01-31", "2024-31-01"), r"line 3 of .*raw\.csv has '2024-31-01'"),
        (("2024-01-31", "1704103200"), r"line 3 of"),
    ],
)
def test_dates_that_could_mean_two_things_are_named(tmp_path, times, message):
    file = tmp_path / "raw.csv"
    file.write_text("user,item,date\n" + "".join(f"a,{place},{time}\n" for place, time in enumerate(times)))
    with pytest.raises(ValueError, match=message):
        read(file, Layout("table", timestamp_column="date"))


def test_a_quoted_field_may_hold_line_ends_separators_and_quotes(tmp_path):
    file = tmp_path / "raw.csv"
    file.write_text('user,title,item\na,"one, ""two""\nthree",x\nb,"\n\n",y\n')
    assert pairs(read(file, TABLE)) == [("a", "x"), ("b", "y")]


def test_a_folder_partitioned_as_hive_does(tmp_path):
    for year, user in ((2023, "a"), (2024, "b")):
        part = tmp_path / "raw" / f"year={year}"
        part.mkdir(parents=True)
        pd.DataFrame({"user": [user], "item": ["x"]}).to_parquet(part / "part-0.parquet")
    assert pairs(read(tmp_path / "raw", TABLE)) == [("a", "x"), ("b", "x")]
