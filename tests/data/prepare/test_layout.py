"""The registry of formats, a format from outside of the package, and layouts that are refused."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from recbole_hetcomp import cli
from recbole_hetcomp.data.prepare import (
    DataFormat,
    Layout,
    Records,
    data_format,
    format_names,
    layout,
    prepare,
    read,
    records_from_frame,
)
from recbole_hetcomp.data.prepare.formats import checkins

OUTSIDE = """
from recbole_hetcomp.data.prepare import data_format, read_headerless


@data_format("bars", source="ask the barkeeper", options=("separator",))
def read_bars(file, layout):
    return read_headerless(file, ("item", "user"), layout.separator or "|")
"""


@pytest.fixture
def formats(monkeypatch):
    """The registry, as it was again afterwards."""
    monkeypatch.setattr(layout, "_FORMATS", dict(layout._FORMATS))


@pytest.fixture
def bars(formats, tmp_path, monkeypatch):
    """A module outside of the package that registers a format, imported; a raw file of that format."""
    (tmp_path / "outside_format.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "outside_format", raising=False)
    importlib.import_module("outside_format")
    file = tmp_path / "raw.txt"
    file.write_text("".join(f"i{item}|u{user}\n" for user in range(4) for item in range(5)))
    return file


# --- a format from outside ---


def test_it_is_known_by_name(bars):
    assert format_names() == ["checkins", "citeulike", "movielens", "ratings-csv", "table", "bars"]
    records = read(bars, Layout("bars"))
    assert (records.user_ids[0], records.item_ids[0], len(records)) == ("u0", "i0", 20)


def test_errors_know_it(bars, tmp_path):
    with pytest.raises(ValueError, match=r"allowed: .*, table, bars$"):
        Layout("pubs")
    with pytest.raises(ValueError, match="columns does not apply to format 'bars'"):
        Layout("bars", columns=("user", "item"))
    with pytest.raises(FileNotFoundError, match="Download it by hand: ask the barkeeper"):
        read(tmp_path / "nowhere", Layout("bars"))
    bars.write_text("i1|u1\ni1;u1\n")
    with pytest.raises(ValueError, match=r"line 2 of .* nothing in column 'user'"):
        read(bars, Layout("bars"))


def test_what_it_reads_is_checked(bars):
    bars.write_text("")
    with pytest.raises(ValueError, match="holds no interaction"):
        read(bars, Layout("bars"))
    bars.write_text("NA|u1\n")
    with pytest.raises(ValueError, match="item id 'NA'"):
        read(bars, Layout("bars"))
    bars.write_bytes(b"\xff|u1\n")
    with pytest.raises(ValueError, match="not UTF-8"):
        read(bars, Layout("bars"))


def test_it_is_prepared_and_on_the_card(bars, tmp_path):
    bars.write_text(bars.read_text().replace("|", ";"))
    made = prepare(bars, tmp_path, "toy", Layout("bars", separator=";"))
    assert made.card["layout"]["format"] == "bars"
    assert "--format bars --input raw.txt" in made.card["command"]
    assert "--separator ';'" in made.card["command"]
    assert made.card["parts"]["train"] == {"interactions": 12, "users": 4, "items": 5}


def test_the_command_takes_it(bars, tmp_path, capsys):
    words = ["prepare", "--input", str(bars), "--output", str(tmp_path), "--name", "toy", "--format"]
    assert cli.main([*words, "bars"]) == 0
    card = json.loads((tmp_path / "toy" / "toy.card.json").read_text())
    assert card["read"] == {"interactions": 20, "users": 4, "items": 5}
    capsys.readouterr()
    assert cli.main([*words, "pubs"]) == 2
    assert "'table', 'bars'" in capsys.readouterr().err
    assert cli.main(["prepare", "--help"]) == 0
    assert "|table|bars]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (["user", "rating"], None, "no column 'item'; it has 'user', 'rating'$"),
        (["user", "item"], {"user": "user", "item": "what"}, "no column 'what'"),
        (["user", "item", "item"], None, "more than one column 'item'"),
        ([], None, "no column 'user'; it has none$"),
    ],
)
def test_a_column_that_a_frame_lacks_is_named(names, columns, message):
    frame = pd.DataFrame([range(len(names))], columns=names)
    with pytest.raises(ValueError, match=rf"^plays\.json has {message}"):
        records_from_frame(Path("plays.json"), frame, columns)


# --- the registry ---


def test_every_file_of_the_package_s_formats_is_one():
    files = sorted(file.stem for file in Path(checkins.__file__).parent.glob("*.py"))
    assert [name.replace("-", "_") for name in format_names()] == [name for name in files if name != "__init__"]


def test_a_taken_name_is_refused(formats):
    with pytest.raises(ValueError, match=r"'table' is taken: recbole_hetcomp\.\S+\.table\.read_table reads it"):

        @data_format("table", source="elsewhere")
        def read_mine(file: Path, layout: Layout) -> Records:
            raise AssertionError

    assert "elsewhere" not in layout.format_named("table").source


def test_the_same_reader_twice_is_one_format(formats):
    before = layout.format_named("checkins")
    register = data_format("checkins", before.source, before.options, before.parts)
    assert register(checkins.read_checkins) is checkins.read_checkins
    expected = DataFormat("checkins", before.read, before.source, ("columns", "encoding"), parts=True)
    assert layout.format_named("checkins") == before == expected


def test_an_unknown_option_is_refused(formats):
    with pytest.raises(
        ValueError, match=r"options of format 'mine' name 'sep'; allowed: columns, .*, separator, encoding$"
    ):
        data_format("mine", source="here", options=("separator", "sep"))


# --- what a layout refuses ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "json"}, "format is 'json'; allowed: checkins, citeulike, movielens, ratings-csv, table$"),
        ({"format": "citeulike", "columns": ("user", "item")}, "columns does not apply to format 'citeulike'"),
        ({"format": "checkins", "user_column": "u"}, "user_column does not apply"),
        ({"columns": ("user", "item")}, "columns does not apply to format 'table'"),
        ({"format": "checkins", "columns": ("user", "place")}, "columns is 'user,place'"),
        ({"format": "checkins", "columns": ("user", "_")}, "columns is 'user,_'"),
        ({"format": "checkins", "columns": ("user", "item", "item")}, "columns is"),
        ({"format": "movielens", "columns": ("user", "item")}, "columns does not apply to format 'movielens'"),
        ({"separator": "::"}, "separator is '::'"),
    ],
)
def test_a_wrong_layout(settings, message):
    with pytest.raises(ValueError, match=message):
        Layout(**settings)
