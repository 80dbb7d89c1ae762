"""What is written from the declared settings: fresh in the repository, and nowhere stated a second time."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from recbole_hetcomp.methods.reference import described, settings_page, written_files
from recbole_hetcomp.recbole_bridge.registry import registered
from recbole_hetcomp.settings import HetCompSettings

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = sorted((ROOT / "recbole_hetcomp").rglob("*.py"))


def test_written_files_are_fresh():
    stale = [file for file, text in written_files(ROOT).items() if file.read_text(encoding="utf-8") != text]
    assert not stale, "run `hetcomp settings --write`"


def test_every_model_with_settings_of_ours_has_a_property_file():
    names = {file.stem for file in written_files(ROOT) if file.suffix == ".yaml"}
    assert names == {"HetComp", "CML", "IALS", "ItemVAE"} | {
        "NoKD",
        "RD",
        "CD",
        "RRD",
        "MTD",
        "CLDRD",
        "DCD",
        "UnKD",
        "RCEKD",
    }


def test_the_page_has_every_setting():
    page = settings_page()
    methods = [
        entry.model.own_settings for entry in registered().values() if getattr(entry.model, "own_settings", None)
    ]
    names = {name for group in [HetCompSettings, *methods] for name in group.names()}
    assert [name for name in sorted(names) if f"| `{name}` |" not in page] == []


def test_a_property_file_holds_the_declared_defaults():
    for file in written_files(ROOT):
        if file.stem == "RCEKD":
            assert yaml.safe_load(file.read_text(encoding="utf-8"))["closure_temperature"] == 10.0
            break
    else:
        pytest.fail("RCEKD.yaml is not written")


def test_no_signature_states_the_default_of_a_setting_again():
    names = set(HetCompSettings.names())
    again = []
    for file in PACKAGE:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args]
                pairs = [*zip(arguments[len(arguments) - len(node.args.defaults) :], node.args.defaults)]
                pairs += [*zip(node.args.kwonlyargs, node.args.kw_defaults)]
                again += [
                    f"{file.name}:{node.lineno} {argument.arg}={value.value!r}"
                    for argument, value in pairs
                    if argument.arg in names and isinstance(value, ast.Constant) and value.value is not None
                ]
    # a neutral factor on a loss in the core; whether a sweep, not a run, goes on
    assert sorted({entry.split(" ")[1] for entry in again}) == ["coarse_weight=1.0", "fine_weight=1.0", "resume=False"]


def test_a_setting_is_described():
    assert described("T_r") == (
        "every run: Temperature of the rank's importance, in ranks. (float; default 30.0; allowed: above 0)"
    )
    assert described("kd_weight").count("\n") == 7  # eight methods have one
    with pytest.raises(KeyError, match="unknown setting 'alpha_decy'; did you mean 'alpha_decay'"):
        described("alpha_decy")
