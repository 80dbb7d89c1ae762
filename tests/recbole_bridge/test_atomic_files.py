"""A user's own atomic files: read where tools write them otherwise, or an error with file and line."""

from __future__ import annotations

import hashlib
import json

import pytest
from recbole.config import Config
from recbole.data import create_dataset

import recbole_hetcomp  # noqa: F401 (what it wraps of RecBole)

GOOD = "user_id:token\titem_id:token\ttimestamp:float\n" + "".join(
    f"ü{user}\ti{(user * 3 + place) % 9}\t{place}\n" for user in range(8) for place in range(5)
)


@pytest.fixture
def loaded(tmp_path):
    """``loaded(content)``: RecBole's data set of an interaction file with this content."""

    def load(content: bytes, **settings):
        (tmp_path / "own").mkdir(exist_ok=True)
        (tmp_path / "own" / "own.inter").write_bytes(content)
        columns = {"inter": ["user_id", "item_id", "timestamp"]}
        config = Config(
            "BPR", "own", config_dict={"data_path": str(tmp_path), "state": "ERROR", "load_col": columns, **settings}
        )
        before = dict(config.final_config_dict)
        dataset = create_dataset(config)
        assert config.final_config_dict == before
        return dataset

    return load


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode("utf-8-sig"),
        GOOD.encode("utf-16"),
        GOOD.replace("\n", "\r").encode(),
        GOOD.replace("\n", "\r\n").encode("utf-8-sig"),
        (GOOD + "\n\n").encode(),
    ],
    ids=["mark", "utf-16", "cr", "crlf", "blank"],
)
def test_what_tools_write_is_read(loaded, content):
    dataset = loaded(content)
    assert len(dataset.inter_feat) == 40
    assert (dataset.user_num, dataset.item_num) == (9, 10)
    assert dataset.token2id("user_id", "ü7") > 0


def test_another_encoding_is_a_setting(loaded):
    assert loaded(GOOD.encode("latin-1"), encoding="latin-1").token2id("user_id", "ü7") > 0


def test_quoted_fields_may_hold_separators(loaded):
    assert len(loaded(GOOD.replace("ü1\t", '"ü\t1"\t').encode()).inter_feat) == 40


HEADER = GOOD.splitlines()[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: it is empty; expected .*user_id:token"),
        (GOOD.replace(":token", "").encode(), "line 1: column 'user_id'; expected a name and a type"),
        (GOOD.replace("item_id:token", "item_id:int").encode(), "line 1: column 'item_id:int'; .*token_seq"),
        (GOOD.replace("\t", ",").encode(), r"line 1: column 'user_id:token,.*separated by '\\t' \(field_separator\)"),
        (GOOD.replace("timestamp:float", "item_id:token").encode(), "line 1: a column is named twice"),
        (GOOD.replace("item_id:", "thing:").encode(), "line 1: no column 'item_id'; .* by ITEM_ID_FIELD"),
        (HEADER.encode(), "has a header and no interaction"),
        ((HEADER + "\n").encode(), "has a header and no interaction"),
        (GOOD.encode("latin-1"), "line 2 of .* is not UTF-8 text: byte 0xfc; .* --encoding latin-1"),
        (GOOD.encode("utf-16-le"), "zero bytes"),
        (GOOD.replace("\t3\n", "\tx\n", 1).encode(), "line 5: 'x' in column timestamp:float; needed: a number"),
        (GOOD.replace("ü2\t", "ü2\tz\t", 1).encode(), "line 12: 4 fields, and the header names 3"),
        (GOOD.replace("\n", "\t\n").replace("float\t", "float").encode(), "line 2: 4 fields"),
        (GOOD.replace("ü1\t", '"ü1\t').encode(), "line 7: a field opens a quote"),
    ],
    ids=range(14),
)
def test_what_cannot_be_read_is_named(loaded, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        loaded(content)
    assert "own.inter" in str(caught.value)


def with_card(folder, files) -> None:
    (folder / "own").mkdir()
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (folder / "own" / "own.card.json").write_text(json.dumps({"files": sums}))


def test_a_prepared_file_is_read_and_a_changed_one_refused(loaded, tmp_path):
    with_card(tmp_path, {"own.inter": GOOD.encode()})
    assert len(loaded(GOOD.encode()).inter_feat) == 40
    with pytest.raises(ValueError, match=r"own\.inter is not as own\.card\.json says .*, or delete the card"):
        loaded(GOOD.replace("i1", "i2").encode())
    (tmp_path / "own" / "own.card.json").write_text("{")
    with pytest.raises(ValueError, match=r"own\.card\.json is damaged: prepare the data set again"):
        loaded(GOOD.encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [(HEADER + "\n", "has a header and no interaction"), (GOOD.replace("item_id:", "thing:"), "no column 'item_id'")],
    ids=["empty", "column"],
)
def test_a_card_vouches_for_lines_only(loaded, tmp_path, content, message):
    with_card(tmp_path, {"own.inter": content.encode()})
    with pytest.raises(ValueError, match=message):
        loaded(content.encode())


@pytest.mark.parametrize("vouched", [True, False])
def test_an_id_that_recbole_takes_for_none_is_named(loaded, tmp_path, vouched):
    content = GOOD.replace("i3\t", "NA\t", 1)
    with_card(tmp_path, {"own.inter": content.encode()} if vouched else {})
    with pytest.raises(ValueError, match=r"own\.inter, line 5: item_id is empty, or a word such as NA"):
        loaded(content.encode())
