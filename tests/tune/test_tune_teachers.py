"""Which teachers a sweep needs, and that two processes never train one twice."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from recbole_hetcomp import cli
from recbole_hetcomp.tune.teachers import has_teachers, needed_teachers

TRAIN = """
import sys, json
from recbole_hetcomp.tune.teachers import TeacherJob, train_teacher
import ray
ray.get_runtime_context = lambda: type("Context", (), {"get_node_id": lambda self: "here"})()
report = train_teacher(TeacherJob("HetComp", "ml-100k", json.loads(sys.argv[1]), "ItemKNN", "key"))
print("TRAINED" if report.trained else "FOUND", report.entry)
"""


def labels(jobs) -> list[str]:
    return sorted(job.label for job in jobs)


def test_models_that_are_taught_have_teachers():
    assert has_teachers("HetComp")
    assert has_teachers("TeacherEnsemble")
    assert not has_teachers("BPR")
    assert not has_teachers("CML")


def test_students_settings_need_no_other_teachers(quick):
    runs = [quick(), quick(learning_rate=0.1), quick(K=20, embedding_size=4)]
    assert labels(needed_teachers("HetComp", "ml-100k", runs, 1, 0)) == ["EASE", "ItemKNN"]


def test_teachers_settings_need_what_differs(quick):
    runs = [quick(teacher_config={"ItemKNN": {"k": k}}) for k in (50, 100, 50)]
    assert labels(needed_teachers("HetComp", "ml-100k", runs, 1, 0)) == ["EASE", "ItemKNN", "ItemKNN"]


def test_another_split_needs_all_of_them_anew(quick):
    runs = [quick(), quick(seed=1)]
    assert labels(needed_teachers("HetComp", "ml-100k", runs, 1, 0)) == ["EASE", "EASE", "ItemKNN", "ItemKNN"]


def test_bad_settings_show_before_any_training(quick):
    with pytest.raises(ValueError, match="teacher_config for ItemKNN names 'kk'"):
        needed_teachers("HetComp", "ml-100k", [quick(teacher_config={"ItemKNN": {"kk": 1}})], 1, 0)


def test_of_two_processes_that_want_one_entry_one_trains_it(quick, tmp_path, subprocess_environment):
    import json

    settings = json.dumps(quick(store_dir=str(tmp_path / "store")))
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, settings], env=subprocess_environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ends = [process.communicate(timeout=120)[0].strip().splitlines()[-1] for process in started]
    assert sorted(end.split()[0] for end in ends) == ["FOUND", "TRAINED"]
    assert len({end.split()[1] for end in ends}) == 1


def test_teachers_in_parallel_are_found_by_the_ensemble(quick, tmp_path, capsys, log):
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(quick(store_dir=str(tmp_path / "store"), checkpoint_dir=str(tmp_path / "ck"))))
    assert cli.main(["teachers", "--parallel", f"--config_files={file}"]) == 0
    said = capsys.readouterr().out
    assert said.count(": trained in") == 2
    assert len([line for line in log if "taken from the store, not trained" in line]) == 2
    assert list((tmp_path / "ck").glob("TeacherEnsemble*.pth"))
