"""Names of items out of a data set's item features, as people write them."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_hetcomp.serving.export.titles import titles_of

IDS = np.array(["1", "01", "2", "3", "4", "5", "6"], dtype=object)


def titles(folder, text, wanted=None):
    (folder / "mine.item").write_bytes(text.encode())
    config = {"data_path": str(folder), "dataset": "mine", "field_separator": "\t"}
    return titles_of(config, "item_id", IDS, wanted)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_quotation_mark_takes_no_other_title_with_it(end, tmp_path):
    lines = ["item_id:token\ttitle:token_seq", '1\t"Round Midnight', '2\t"Say ""Yes""\tnow"', '3\t"Weird Al" Yankovic']
    lines += ['4\t<b>7" vinyl, & more</b>', "5\t", "01\tof another item"]
    lines += [f"{number}\tone of many, long enough for a reader of CSV to give up" for number in range(100, 9_000)]
    assert titles(tmp_path, end.join(lines)).tolist() == [
        '"Round Midnight',
        "of another item",
        'Say "Yes"\tnow',
        '"Weird Al" Yankovic',
        '<b>7" vinyl, & more</b>',
        None,
        None,
    ]


def test_a_feature_that_is_not_there_is_named(tmp_path):
    assert titles(tmp_path, "item_id:token\tyear:float\n1\t1999\n") is None
    with pytest.raises(ValueError, match=r"title='title' is not allowed: .* has item_id, year"):
        titles(tmp_path, "item_id:token\tyear:float\n1\t1999\n", "title")
