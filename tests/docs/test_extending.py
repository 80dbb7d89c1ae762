"""The examples of docs/extending.md, each in a file of its own outside of the package, through the commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", flags=re.DOTALL)
TEACHERS = "--teachers=[neighbours.Neighbours, ItemKNN]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, as they stand."""
    made = tmp_path_factory.mktemp("extensions")
    for name, text in _FILE.findall((ROOT / "docs" / "extending.md").read_text(encoding="utf-8")):
        (made / name).write_text(text, encoding="utf-8")
    return made


def hetcomp(folder: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "recbole_hetcomp.cli", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_all_kinds_are_shown(folder):
    found = {file.name for file in folder.iterdir()}
    assert found == {
        "soft.py", "space.yaml", "compare.yaml", "neighbours.py", "two_tower.py", "plays.py", "rbp.py",
    }  # fmt: skip


def test_method_teacher_backbone_and_metric_in_one_run(folder, subprocess_environment):
    used = [word for name in ("soft", "neighbours", "two_tower", "rbp") for word in ("--extension", f"{name}.py")]
    settings = [
        "--model=Soft", "--student_backbone=TwoTower", TEACHERS, "--metrics=[RBP, Recall]", "--topk=[10]",
        "--valid_metric=RBP@10", "--epochs=2", "--eval_step=1", "--compare_no_kd=False", "--result_dir=out",
        "--teacher_config={neighbours.Neighbours: {shrink: 5}}",
    ]  # fmt: skip
    done = hetcomp(folder, subprocess_environment, "run", *used, *settings)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = pd.read_csv(folder / "out" / "results.csv").set_index("name")
    assert list(rows.index) == ["neighbours.Neighbours", "ItemKNN", "TeacherEnsemble", "Soft"]
    assert rows.loc["neighbours.Neighbours", "parameters"] == 1683**2
    assert {"rbp@10", "recall@10"} <= set(rows)
    assert rows.loc["neighbours.Neighbours", "recall@10"] > 0.15  # Pop has .10
    again = hetcomp(folder, subprocess_environment, "run", *used, *settings)
    assert "teacher 1/2 neighbours.Neighbours: taken from the store" in again.stderr + again.stdout
    first = json.loads((folder / "out" / "results.json").read_text())["rows"]
    assert [row["recall@10"] for row in first] == rows["recall@10"].round(6).tolist()


def test_a_method_teaches_nothing(folder, subprocess_environment):
    listed = hetcomp(folder, subprocess_environment, "models", "--extension", "soft.py").stdout
    assert "Soft                 plugin, is a way to teach: --model\n" in listed
    refused = hetcomp(folder, subprocess_environment, "run", "--extension", "soft.py", "--teachers=[Soft, BPR]")
    assert refused.returncode == 2
    assert "unknown teacher 'Soft'" in refused.stderr


def test_a_changed_source_file_is_another_teacher(folder, subprocess_environment):
    code = (
        "import recbole, neighbours\n"
        "from recbole_hetcomp.teachers.protocol import OutsideTeacher\n"
        "print(OutsideTeacher.of('neighbours.Neighbours', {}).code)"
    )

    def code_of() -> str:
        return subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=subprocess_environment, capture_output=True, text=True
        ).stdout

    before = code_of()
    assert re.fullmatch(r"[0-9a-f]{16}\n", before)
    file = folder / "neighbours.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "# another line\n", encoding="utf-8")
    try:
        assert code_of() != before
    finally:
        file.write_text(text, encoding="utf-8")
    assert code_of() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--teachers=[neighbours.Nobody]"], "teacher 'neighbours.Nobody' cannot be imported"),
        (["--teachers=[nowhere.Teacher]"], "teacher 'nowhere.Teacher' cannot be imported"),
        (["--teachers=[pathlib.Path]"], "teacher 'pathlib.Path' has no method teach"),
        ([TEACHERS, "--teacher_config={neighbours.Neighbours: {shrinkage: 1}}"], "'shrinkage'"),
    ],
)
def test_a_bad_teacher_is_refused_before_any_training(folder, subprocess_environment, words, said):
    refused = hetcomp(folder, subprocess_environment, "run", "--extension", "neighbours.py", *words)
    assert refused.returncode == 2
    assert said in refused.stderr


def test_a_bad_extension_is_refused(folder, subprocess_environment):
    (folder / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
    refused = hetcomp(folder, subprocess_environment, "models", "--extension", "broken.py")
    (folder / "broken.py").unlink()
    assert refused.returncode == 2
    assert "broken.py' cannot be imported: ModuleNotFoundError" in refused.stderr


def test_a_data_format(folder, subprocess_environment):
    plays = [{"user": f"u{u}", "item": f"i{i}", "seconds": 100 * u + i} for u in range(6) for i in range(u, u + 6)]
    (folder / "plays.jsonl").write_text("".join(json.dumps(play) + "\n" for play in plays), encoding="utf-8")
    words = ["--extension", "plays.py", "--format", "plays", "--input", "plays.jsonl", "--output", "data"]
    done = hetcomp(folder, subprocess_environment, "prepare", *words, "--name", "songs")
    assert done.returncode == 0, done.stderr
    files = [folder / "data" / "songs" / f"songs.{part}.inter" for part in ("train", "valid", "test")]
    assert sum(len(pd.read_csv(file, sep="\t")) for file in files) <= len(plays)
    assert len(pd.read_csv(folder / "data" / "songs" / "songs.item", sep="\t")) == 11


def test_the_benchmark_compares_the_method(folder, subprocess_environment):
    used = [
        "--extension",
        "soft.py",
        "--extension",
        "neighbours.py",
        "--config",
        "compare.yaml",
        "--output",
        "compared",
    ]
    quick = {
        "workers": 1, "students.settings": "{epochs: 20, eval_step: 10, quality_weighting: 3.0}",
        "teachers.models": "[neighbours.Neighbours, ItemKNN]",
    }  # fmt: skip
    changes = [word for key, value in quick.items() for word in ("--set", f"{key}={value}")]
    done = hetcomp(folder, subprocess_environment, "benchmark", *used, *changes)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    runs = pd.read_csv(folder / "compared" / "runs.csv").set_index("method")
    assert {"neighbours.Neighbours", "ItemKNN", "TeacherEnsemble", "NoKD", "RRD", "Soft"} == set(runs.index)
    assert runs.loc["Soft", "recall@10"] > runs.loc["NoKD", "recall@10"]


def keys(folder: Path, environment: dict[str, str], *words: str) -> set[str]:
    """The runs that there are after one more."""
    done = hetcomp(folder, environment, "run", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    return {file.name for file in (folder / "results" / "ml-100k").iterdir()}


def test_changed_code_of_a_method_or_a_backbone_is_another_run(folder, subprocess_environment):
    words = [
        "--extension", "soft.py", "--extension", "two_tower.py", "--model=Soft", "--student_backbone=TwoTower",
        "--teachers=[ItemKNN]", "--epochs=1", "--eval_step=1", "--compare_no_kd=False",
    ]  # fmt: skip
    first = keys(folder, subprocess_environment, *words)
    assert keys(folder, subprocess_environment, *words) == first
    for name in ("soft.py", "two_tower.py"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text + "# changed\n", encoding="utf-8")
        changed = keys(folder, subprocess_environment, *words)
        (folder / name).write_text(text, encoding="utf-8")
        assert len(changed) == len(first) + 1, name
        first = changed


def test_a_backbone_teaches_too(folder, subprocess_environment):
    words = ["--extension", "two_tower.py", "--teachers=[TwoTower]", "--compare_no_kd=False", "--epochs=1"]
    config = "--teacher_config={TwoTower: {epochs: 1, embedding_size: 4}}"
    done = hetcomp(folder, subprocess_environment, "run", *words, config, "--eval_step=1", "--result_dir=taught")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = pd.read_csv(folder / "taught" / "results.csv").set_index("name")
    assert rows.loc["TwoTower", "parameters"] == 944 * 4 + 1683 * 4 + 1683


def test_a_saved_student_needs_its_teachers_code_no_more(folder, subprocess_environment):
    words = ["--extension", "neighbours.py", TEACHERS, "--epochs=1", "--eval_step=1", "--compare_no_kd=False"]
    done = hetcomp(folder, subprocess_environment, "run", *words, "--checkpoint_dir=kept", "--result_dir=other")
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = (folder / "kept").glob("*.pth")
    code = f"from recbole_hetcomp import load_data_and_model as load; print(load({str(file)!r})[0]['teachers'])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=folder.parent, env=subprocess_environment, capture_output=True, text=True
    )
    assert loaded.stdout.splitlines()[-1] == "['neighbours.Neighbours', 'ItemKNN']", loaded.stderr[-1000:]


def test_an_error_of_ones_own_code_says_where(folder, subprocess_environment):
    (folder / "wrong.py").write_text(
        "class Wrong:\n    def teach(self, interactions, recorder):\n        raise ValueError('no idea')\n",
        encoding="utf-8",
    )
    failed = hetcomp(folder, subprocess_environment, "run", "--extension", "wrong.py", "--teachers=[wrong.Wrong]")
    assert failed.returncode == 1
    assert f"error: no idea ({folder / 'wrong.py'}:3)" in failed.stderr
