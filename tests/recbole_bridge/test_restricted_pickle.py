"""Checkpoints of RecBole's are read; what else a file names is refused, and no path in one is followed."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.config import Config
from recbole.quick_start import load_data_and_model, run_recbole

from recbole_hetcomp.recbole_bridge import restricted_pickle

SEQUENCES = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]},
    "user_inter_num_interval": "[500,inf)",  # few users
    "MAX_ITEM_LIST_LENGTH": 4,
}


class Sings:
    """Pickled, it would leave a file where it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


def of_recbole(model: str, **settings: Any) -> str:
    """A checkpoint of RecBole's own format."""
    given = {"epochs": 1, "show_progress": False, "checkpoint_dir": "made", **settings}
    run_recbole(model=model, dataset="ml-100k", config_dict=given)
    return str(max(Path("made").glob(f"{model}-*.pth"), key=lambda file: file.stat().st_mtime))


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("BPR", {}),
        ("CML", {}),
        ("ItemKNN", {}),
        ("EASE", {}),
        ("LightGCN", {}),
        ("MultiVAE", {"train_neg_sample_args": None}),
        ("SASRecF", {"train_neg_sample_args": None, **SEQUENCES}),
        ("DIN", SEQUENCES),
    ],
)
def test_recboles_own_checkpoints_are_read(model, settings):
    file = of_recbole(model, **settings)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)
    config, loaded, *_ = load_data_and_model(file)
    assert config["model"] == model == type(loaded).__name__
    assert not [name for name, value in vars(loaded).items() if type(value).__name__ == "_LeftOut"]


@pytest.mark.parametrize("where", ["config", "other_parameter", "state_dict", "note"])
def test_a_class_that_no_checkpoint_needs_is_refused(where, tmp_path, monkeypatch):
    file, sang = tmp_path / "bad.pth", tmp_path / "sang"
    content = {"config": {}, "state_dict": {}, "other_parameter": {}}
    content[where] = Sings(sang)  # type: ignore[assignment]
    torch.save(content, file)
    with pytest.raises(pickle.UnpicklingError, match=f"names (posix|nt).mkdir.*set {restricted_pickle.TRUST}=1"):
        load_data_and_model(str(file))
    assert not sang.exists()
    monkeypatch.setenv(restricted_pickle.TRUST, "1")
    with pytest.raises((KeyError, TypeError, AttributeError)):  # it is read, and is no checkpoint
        load_data_and_model(str(file))
    assert sang.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("__builtin__", "eval"),
        ("builtins", "getattr"),
        ("recbole.model.general_recommender.bpr", "torch"),
        ("recbole.model.loss", "nn"),
        ("scipy.sparse._csr", "csr_tocsc"),
        ("torch", "load"),
        ("torch", "compile"),
        ("torch.storage", "io"),
        ("recbole.config.configurator", "os"),
        ("recbole.quick_start.quick_start", "run_recbole"),
    ],
)
def test_names_that_are_refused(module, name):
    text = f"c{module}\n{name}\n.".encode()

    with pytest.raises(pickle.UnpicklingError, match="no checkpoint of RecBole's needs"):
        restricted_pickle.load(io.BytesIO(text))


@pytest.mark.parametrize("kind", ["ours", "recbole's"])
def test_no_path_to_a_pickled_data_set_is_followed(kind, finished_run, tmp_path):
    sang = tmp_path / "sang"
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("ml-100k-GeneralDataset.pth", "ml-100k-Dataset.pth", "ml-100k-for-HetComp-dataloader.pth"):
        (trap / name).write_bytes(pickle.dumps(Sings(sang)))
    file = finished_run.checkpoint if kind == "ours" else Path(of_recbole("BPR"))
    content = torch.load(file, weights_only=False)
    paths = {
        "dataset_save_path": str(trap / "ml-100k-Dataset.pth"),
        "dataloaders_save_path": str(trap / "ml-100k-for-HetComp-dataloader.pth"),
        "checkpoint_dir": str(trap),
    }
    for key, value in paths.items():
        content["config"][key] = value
    changed = tmp_path / "changed.pth"
    torch.save(content, changed)
    config, *_ = load_data_and_model(str(changed))
    assert isinstance(config, Config)
    assert not sang.exists()
