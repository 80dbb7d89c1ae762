"""RecBole's own API knows the plugin's models, here and in new processes, and nothing is written into RecBole."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import recbole.data.utils
import recbole.model.general_recommender as general_recommender
import recbole.quick_start.quick_start as recbole_quick_start
import recbole.trainer
import torch
from recbole.config import Config
from recbole.data.dataloader import FullSortEvalDataLoader, TrainDataLoader, UserDataLoader
from recbole.model.general_recommender.bpr import BPR
from recbole.trainer import Trainer
from recbole.utils import ModelType, get_model, get_trainer

import recbole_hetcomp
from recbole_hetcomp.files import properties_dir
from recbole_hetcomp.methods.hetcomp import HetCompTrainer
from recbole_hetcomp.recbole_bridge import hooks, registry
from recbole_hetcomp.recbole_bridge.loaders import CatalogueEvalDataLoader, ItemDataLoader
from recbole_hetcomp.recbole_bridge.property_files import read_properties
from recbole_hetcomp.teachers.ensemble import TeacherEnsembleTrainer

PLUGIN_MODELS = ("HetComp", "CML", "IALS", "ItemVAE", "TeacherEnsemble", "ImportedRanking")

# Imports RecBole's functions first, as a user's script may, and watches RecBole's folder.
FIRST_RECBOLE_THEN_PLUGIN = """
    import hashlib, importlib.util, json, pathlib, sys

    sys.argv = ["script"]
    package = pathlib.Path(importlib.util.find_spec("recbole").origin).parent

    def snapshot():
        files = [file for file in sorted(package.rglob("*")) if "__pycache__" not in file.parts]
        stamps = [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
        return hashlib.sha256(repr(stamps).encode()).hexdigest()

    before = snapshot()
    from recbole.config import Config
    from recbole.quick_start import load_data_and_model, objective_function, run, run_recbole
    from recbole.utils import get_model, get_trainer
    import recbole_hetcomp
    import recbole_hetcomp.recbole_bridge.hooks
    recbole_hetcomp.recbole_bridge.hooks.install()

    config = Config(model="HetComp", dataset="ml-100k")
    result = {
        "models": {name: get_model(name).__module__ for name in MODELS},
        "trainer": get_trainer(config["MODEL_TYPE"], "HetComp").__module__,
        "teachers": config["teachers"],
        "embedding_size": config["embedding_size"],
        "topk": config["topk"],
        "untouched": snapshot() == before,
    }
    print("RESULT" + json.dumps(result))
"""


def python(code: str, environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def recbole_first(subprocess_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    code = f"MODELS = {PLUGIN_MODELS}\n" + dedent(FIRST_RECBOLE_THEN_PLUGIN)
    return json.loads(python(code, subprocess_environment, tmp_path_factory.mktemp("order")).split("RESULT")[1])


@pytest.fixture
def registration_undone() -> Iterator[None]:
    """Forgets the models that a test registers."""
    registered, modules = dict(registry._REGISTERED), dict(sys.modules)
    models, trainers = dict(vars(general_recommender)), dict(vars(recbole.trainer))
    yield
    registry._REGISTERED.clear()
    registry._REGISTERED.update(registered)
    for name in set(sys.modules) - set(modules):
        if name.startswith("recbole.model."):
            del sys.modules[name]
    for module, names in ((general_recommender, models), (recbole.trainer, trainers)):
        for name in set(vars(module)) - set(names):
            delattr(module, name)


# --- RecBole's own look-ups ---


@pytest.mark.parametrize("name", PLUGIN_MODELS)
def test_get_model_finds_the_plugin_models(name):
    model = get_model(name)
    assert model.__name__ == name
    assert model.__module__.startswith("recbole_hetcomp.")
    assert getattr(general_recommender, name) is model


def test_get_trainer_finds_the_plugin_trainers_and_recboles():
    assert get_trainer(ModelType.GENERAL, "HetComp") is HetCompTrainer
    assert get_trainer(ModelType.TRADITIONAL, "TeacherEnsemble") is TeacherEnsembleTrainer
    assert get_trainer(ModelType.GENERAL, "CML") is Trainer
    assert get_trainer(ModelType.GENERAL, "BPR") is Trainer


def test_config_takes_defaults_of_the_plugin_for_its_models_only():
    student = Config(model="HetComp", dataset="ml-100k")
    assert student["teachers"] == ["IALS", "CML", "LightGCN", "MultiVAE", "ItemVAE"]
    assert student["embedding_size"] == 8
    assert student["topk"] == [10, 50]
    teacher = Config(model="CML", dataset="ml-100k")
    assert teacher["margin"] == read_properties("model", "CML")["margin"]
    assert teacher["topk"] == [10]  # RecBole's own
    plain = Config(model="BPR", dataset="ml-100k")
    assert plain["embedding_size"] == 64
    assert "teachers" not in plain
    assert "weight_decay" not in plain.internal_config_dict or plain["weight_decay"] == 0.0


def test_recboles_functions_work_where_they_were_imported_before_the_plugin(recbole_first):
    assert set(recbole_first["models"]) == set(PLUGIN_MODELS)
    assert all(module.startswith("recbole_hetcomp.") for module in recbole_first["models"].values())
    assert recbole_first["trainer"].startswith("recbole_hetcomp.")
    assert recbole_first["teachers"][0] == "IALS"
    assert recbole_first["embedding_size"] == 8
    assert recbole_first["topk"] == [10, 50]


def test_no_file_of_recbole_changes(recbole_first):
    assert recbole_first["untouched"]


def test_properties_are_found_in_the_checkout():
    assert properties_dir() == Path(recbole_hetcomp.__file__).resolve().parents[1] / "properties"
    assert (properties_dir() / "model" / "HetComp.yaml").is_file()


# --- registering ---


def test_registering_twice_changes_nothing():
    before = (registry.registered(), Config.__init__, recbole.data.utils.get_dataloader, torch.load)
    hooks.install()
    for registration in registry.registered().values():
        assert registry.register_model(*vars(registration).values()) is registration.model
    assert (registry.registered(), Config.__init__, recbole.data.utils.get_dataloader, torch.load) == before


@pytest.mark.parametrize("name", ["BPR", "LightGCN", "GRU4Rec", "FM", "lightgcn"])
def test_a_name_of_recboles_is_refused(name):
    with pytest.raises(ValueError, match=rf"'{name}' is taken"):
        registry.register_model(type(name, (BPR,), {}))
    assert get_model("BPR") is BPR


def test_another_class_under_a_registered_name_is_refused():
    with pytest.raises(ValueError, match="'CML' is taken"):
        registry.register_model(type("CML", (BPR,), {}))


def test_a_trainer_name_of_recboles_is_refused(registration_undone):
    with pytest.raises(ValueError, match="PretrainTrainer"):
        registry.register_model(type("Pretrain", (BPR,), {"__module__": __name__}), trainer=Trainer)


class HomeMadeRecommender(BPR):
    """A user's own model."""


class HomeMadeTrainer(Trainer):
    """Its own trainer."""


def test_a_model_of_the_users_can_be_registered(registration_undone):
    registered = recbole_hetcomp.register_model(HomeMadeRecommender, trainer=HomeMadeTrainer)
    assert registered is HomeMadeRecommender
    assert get_model("HomeMadeRecommender") is HomeMadeRecommender
    assert get_trainer(ModelType.GENERAL, "HomeMadeRecommender") is HomeMadeTrainer
    config = Config(model="HomeMadeRecommender", dataset="ml-100k", config_dict={"embedding_size": 4})
    assert config["embedding_size"] == 4
    student = Config(model="HetComp", dataset="ml-100k", config_dict={"teachers": ["HomeMadeRecommender"]})
    assert student["teachers"] == ["HomeMadeRecommender"]


def test_a_model_defined_in_a_script_can_be_registered(subprocess_environment, tmp_path):
    """A script's module is ``__main__``, which has no import specification."""
    python(
        """
        from recbole.model.general_recommender.bpr import BPR
        from recbole.utils import get_model
        import recbole_hetcomp

        class Mine(BPR):
            pass

        recbole_hetcomp.register_model(Mine)
        assert get_model("Mine") is Mine
        """,
        subprocess_environment,
        tmp_path,
    )


# --- new processes ---


def test_a_spawned_process_knows_the_models(tmp_path, monkeypatch):
    (tmp_path / "spawned_look_up.py").write_text(
        dedent(
            """
            import recbole.utils
            import recbole_hetcomp

            def module_of(name):
                return recbole.utils.get_model(name).__module__
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import spawned_look_up

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(spawned_look_up.module_of, ["HetComp"]) == ["recbole_hetcomp.methods.hetcomp"]


def test_the_function_that_recbole_spawns_brings_the_plugin_along(subprocess_environment, tmp_path):
    assert pickle.loads(pickle.dumps(recbole_quick_start.run_recboles)) is recbole_quick_start.run_recboles
    (tmp_path / "function.pickle").write_bytes(pickle.dumps(recbole_quick_start.run_recboles))
    python(
        """
        import pickle, sys

        with open("function.pickle", "rb") as file:
            function = pickle.load(file)
        assert function.__name__ == "run_recboles"
        assert "recbole_hetcomp" in sys.modules
        from recbole.utils import get_model
        assert get_model("HetComp").__name__ == "HetComp"
        """,
        subprocess_environment,
        tmp_path,
    )


def test_run_recboles_can_be_pickled_from_where_recbole_exports_it():
    import recbole.quick_start

    assert pickle.loads(pickle.dumps(recbole.quick_start.run_recboles)).__name__ == "run_recboles"


# --- loaders ---


def loader_of(model: str, phase: str, **settings: Any) -> type:
    return recbole.data.utils.get_dataloader(Config(model=model, dataset="ml-100k", config_dict=settings), phase)


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ("ItemVAE", {}, ItemDataLoader),
        ("CML", {}, TrainDataLoader),
        ("HetComp", {}, TrainDataLoader),
        ("HetComp", {"student_backbone": "MultiVAE"}, UserDataLoader),
        ("HetComp", {"student_backbone": "ItemVAE"}, ItemDataLoader),
        ("MultiVAE", {}, UserDataLoader),
        ("BPR", {}, TrainDataLoader),
    ],
)
def test_each_model_gets_its_training_loader(model, settings, expected):
    assert loader_of(model, "train", **settings) is expected


@pytest.mark.parametrize("model", ["HetComp", "ItemVAE", "TeacherEnsemble"])
def test_plugin_models_are_evaluated_in_batches_of_the_catalogues_size(model):
    assert loader_of(model, "valid") is CatalogueEvalDataLoader
    assert issubclass(loader_of(model, "test"), FullSortEvalDataLoader)


def test_recboles_models_keep_their_evaluation_loader():
    assert loader_of("BPR", "valid") is FullSortEvalDataLoader
    sampled = {"eval_args": {"mode": "uni100"}}
    assert loader_of("CML", "valid", **sampled) is not CatalogueEvalDataLoader
