"""Every backbone whose score is a dot product is exported as it ranks."""

from __future__ import annotations

import pytest

from recbole_hetcomp.serving.export.write import Wanted, export

pytest.importorskip("faiss")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("backbone", ["LightGCN", "CML", "IALS"])
def test_a_student_of_another_backbone(tiny_run, tmp_path, backbone):
    run = tiny_run(student_backbone=backbone, epochs=3, no_kd_config={"epochs": 2, "eval_step": 1})
    manifest = export(run.checkpoint, tmp_path / "out", Wanted(k=10, seen="training"))
    assert manifest["model"]["backbone"] == backbone
    assert all(one["different"] == 0 for one in manifest["parity"]["artefacts"].values())


def test_a_model_of_recboles_own(tiny_run, tmp_path):
    run = tiny_run(model="IALS", epochs=2)
    manifest = export(run.checkpoint, tmp_path / "out", Wanted(k=10))
    assert manifest["model"]["teachers"] == []
    assert manifest["parity"]["artefacts"]["recommend.onnx"]["same"] > 900
