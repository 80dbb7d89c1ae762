"""A catalogue smaller than the default lists: these shrink and say so; lengths that were given are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.quick_start import run_recbole
from recbole.utils import get_model

ITEMS = 40


@pytest.fixture
def small(tmp_path):
    """Settings of a run on made-up data with few items."""
    generator = np.random.default_rng(0)
    pairs = [(user, item) for user in range(60) for item in generator.choice(ITEMS, 12, replace=False)]
    folder = tmp_path / "small"
    folder.mkdir()
    frame = pd.DataFrame(pairs, columns=["user_id:token", "item_id:token"])
    frame.to_csv(folder / "small.inter", sep="\t", index=False)
    return {
        "data_path": str(tmp_path), "load_col": {"inter": ["user_id", "item_id"]}, "teachers": ["ItemKNN", "Pop"],
        "epochs": 2, "eval_step": 1, "compare_no_kd": False, "show_progress": False,
    }  # fmt: skip


@pytest.mark.parametrize("model", ["HetComp", "RRD", "TeacherEnsemble"])
def test_default_lists_shrink_and_say_so(small, log, model):
    result = run_recbole(model=model, dataset="small", config_dict=small)
    assert any(f"the catalogue has {ITEMS} items, less than the default K and K_D: K=40, K_D=40" in x for x in log)
    assert 0.2 < result["test_result"]["recall@10"] < 0.6  # 28 items are left, of which 10 are listed


def test_a_given_length_is_refused(small):
    config = Config(model="HetComp", dataset="small", config_dict={**small, "K": 41})
    train, _, _ = data_preparation(config, create_dataset(config))
    with pytest.raises(ValueError, match="K=41 is larger than the catalogue: at most 40"):
        get_model("HetComp")(config, train._dataset)
