"""What RecBole's data sets load is the same with every pandas and NumPy, field by field, missing values above all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recbole_hetcomp  # noqa: F401

DIGESTS = Path(__file__).with_name("loaded_ml-100k.json")
"""Of each field of ml-100k as RecBole loads it with pandas 2 and NumPy 1: ``python tests/.../test_loaded_data.py``."""

CASES = [("BPR", "inter"), ("FM", "inter user item"), ("KGCN", "inter kg link")]

GAPS = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "u1\ti1\t4\t10\nu1\ti2\t\t20\nu2\ti1\t2\t30\nu2\ti3\t3\t40\n",
    "user": "user_id:token\tage:token\tincome:float\nu1\t24\t10\nu2\t\t\n",
    "item": "item_id:token\ttags:token_seq\tvector:float_seq\tbrand:token\n"
    "i1\tred big\t0.5 1.5\tB\ni2\t\t\t\ni3\tred\t2\tA\n",
}
LOADED = {
    "inter": ["user_id", "item_id", "rating", "timestamp"],
    "user": ["user_id", "age", "income"],
    "item": ["item_id", "tags", "vector", "brand"],
}


def data_set(model: str = "BPR", name: str = "ml-100k", **settings: Any) -> Any:
    from recbole.config import Config
    from recbole.data import create_dataset

    data = create_dataset(Config(model=model, dataset=name, config_dict={"state": "ERROR", **settings}))
    data._change_feat_format()
    return data


@pytest.fixture
def gaps(tmp_path: Path) -> Path:
    (tmp_path / "gaps").mkdir()
    for part, text in GAPS.items():
        (tmp_path / "gaps" / f"gaps.{part}").write_text(text)
    return tmp_path


def test_missing_values_are_filled_as_recbole_means_to(gaps):
    data = data_set(name="gaps", data_path=str(gaps), load_col=LOADED)
    assert data.field2id_token["user_id"].tolist() == ["[PAD]", "u1", "u2"]
    assert data.inter_feat["rating"].tolist() == [4, 3, 2, 3]  # the second is the mean of the others
    assert data.inter_feat["timestamp"].tolist() == [10, 20, 30, 40]
    assert data.user_feat["income"].tolist() == pytest.approx([10, 10, 10])
    ages = data.field2id_token["age"].tolist()
    assert ages[data.user_feat["age"][1]] == "24"


def test_sequences_may_be_empty(gaps):
    data = data_set(name="gaps", data_path=str(gaps), load_col=LOADED)
    tags, tokens = data.item_feat["tags"], data.field2id_token["tags"].tolist()
    assert [[tokens[tag] for tag in row if tag] for row in tags.tolist()] == [[], ["red", "big"], [], ["red"]]
    assert data.item_feat["vector"].tolist() == [[0, 0], [0.5, 1.5], [0, 0], [2, 0]]


@pytest.mark.parametrize("model", ["FM", "DeepFM"])
def test_sequences_are_normalized_and_split_as_ever(model, gaps):
    data = data_set(model, "gaps", data_path=str(gaps), load_col=LOADED, normalize_all=True, threshold={"rating": 3})
    assert np.allclose(data.item_feat["vector"].numpy(), [[0, 0], [0, 2 / 3], [0, 0], [1, 0]])


def test_what_is_read_from_text_holds_objects(gaps):
    import recbole.data.dataset.dataset as module

    frame = module.pd.read_csv(gaps / "gaps" / "gaps.item", sep="\t", dtype=str)
    assert frame["item_id:token"].dtype == object
    assert isinstance(frame, pd.DataFrame)
    assert module.pd.concat([frame, frame]).shape == (6, 4)


@pytest.mark.parametrize(("model", "parts"), CASES)
def test_ml_100k_is_loaded_as_with_recboles_own_versions(model, parts):
    assert digests(model, parts) == json.loads(DIGESTS.read_text())[f"{model}: {parts}"]


def digests(model: str, parts: str) -> dict[str, str]:
    """Type, shape and digest of every field, and of every vocabulary."""
    columns = {
        "inter": ["user_id", "item_id", "rating", "timestamp"],
        "user": ["user_id", "age", "gender", "occupation", "zip_code"],
        "item": ["item_id", "movie_title", "release_year", "class"],
        "kg": ["head_id", "relation_id", "tail_id"],
        "link": ["item_id", "entity_id"],
    }
    data = data_set(model, load_col={part: columns[part] for part in parts.split()}, threshold={"rating": 3})
    found = {}
    for name in data.feat_name_list:
        feature = getattr(data, name)
        for field in feature.columns:
            values = feature[field]
            digest = hashlib.sha256(np.ascontiguousarray(values.numpy()).tobytes()).hexdigest()[:16]
            found[f"{name}.{field}"] = f"{values.dtype} {list(values.shape)} {digest}"
    for field, tokens in sorted(data.field2id_token.items()):
        text = "\n".join(map(str, tokens))
        found[f"tokens of {field}"] = f"{len(tokens)} {hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return found


if __name__ == "__main__":  # with pandas 2 and NumPy 1
    assert (pd.__version__ < "3", np.__version__ < "2") == (True, True)
    DIGESTS.write_text(
        json.dumps({f"{model}: {parts}": digests(model, parts) for model, parts in CASES}, indent=1) + "\n"
    )
