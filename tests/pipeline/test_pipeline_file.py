"""A pipeline's file: what it may say, and how it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import document

from recbole_hetcomp.cli import main
from recbole_hetcomp.cli.command_words import option_words
from recbole_hetcomp.pipeline.file import Pipeline, PipelineFile, read_keys, read_pipeline
from recbole_hetcomp.pipeline.steps import steps_of
from recbole_hetcomp.pipeline.template import template
from recbole_hetcomp.values import read_yaml


def written(text: str) -> Path:
    file = Path("pipeline.yaml")
    file.write_text(text, encoding="utf-8")
    return file


def test_an_empty_file_is_the_defaults():
    pipeline = read_pipeline(written("# nothing\n"))
    assert pipeline.keys == PipelineFile()
    assert (pipeline.folder, pipeline.store) == (Path.cwd(), "pipeline/store")
    assert pipeline.given == ()


def test_values_have_their_types():
    keys = read_keys({"teachers": ["BPR", "EASE"], "student": {"epochs": 3}, "tune": None, "settings": None})
    assert keys.teachers == ("BPR", "EASE")
    assert (keys.student, keys.tune, keys.settings) == ({"epochs": 3}, None, {})


def test_paths_count_from_the_file(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yaml").write_text("{output: out, store: shared}", encoding="utf-8")
    pipeline = read_pipeline(tmp_path / "deep" / "mine.yaml")
    assert (pipeline.output, pipeline.store) == (tmp_path / "deep" / "out", "shared")
    assert pipeline.given == ("output", "store")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("studnt: {}", "unknown key 'studnt'; did you mean 'student'? Allowed: output, dataset, "),
        ("skip: [distil]", "skip names 'distil'. Allowed: teachers, evaluate, export, profile, report"),
        ("skip: [reprot]", "skip names 'reprot'; did you mean 'report'?"),
        ("dataset: 5", "dataset=5 is not of type str"),
        ("parallel_teachers: often", "parallel_teachers='often' is not of type bool"),
        ("student: 5", "student=5 is not of type dict"),
        (
            "student: {store_dir: x}",
            "student.store_dir is not allowed: the pipeline keeps its files in",
        ),
        ("imported: {mine: {table: a.csv}}", "imported brings 'mine', which teachers does not name: add import:mine"),
        ("store: s3://teachers", "store='s3://teachers' is not allowed: a folder, not an address"),
        ("output: pipeline.yaml/out", "pipeline.yaml is a file, and a folder is wanted there"),
        ("[a, b]", "a pipeline is a mapping of keys and values, not a list"),
        ("output: [", "while parsing"),
        ("prepare: {format: tabel, input: a.csv}", "prepare: Invalid value for '--format': 'tabel' is not one of"),
        ("prepare: {input: a.csv}", "prepare: Missing option '--format'"),
        (
            "prepare: {format: table, splitt: paper}",
            "splitt is no option of hetcomp prepare; did you mean 'split'",
        ),
        ("tune: {num_samples: many}", "tune: Invalid value for '--num_samples': 'many' is not a valid integer"),
        ("tune: {embedding_size: 3}", "tune.embedding_size is no option of hetcomp tune"),
        ("prepare: {format: table, input: a.csv, min_user: few}", "prepare: Invalid value for '--min_user'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(text, message, capsys):
    skip = "" if "skip" in text or text[0] == "[" else "skip: [export, profile]\n"
    written(f"{text}\n{skip}")
    assert main(["pipeline", "run"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["pipeline.yaml"]


@pytest.mark.parametrize("content", [b"output: [1\r\n", b"\xff\xfe\x00", b"a: b: c"])
def test_what_is_no_yaml_is_said_in_a_line(content, tmp_path, capsys):
    file = tmp_path / "my pipeline.yaml"
    file.write_bytes(content)
    assert main(["pipeline", "run", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {file} is no YAML: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"output": ""}, "output='' is not allowed: a folder is needed"),
        ({"store": " "}, "store=' ' is not allowed: a folder is needed"),
        ({"export": {"to": "elsewhere"}}, "export.to is not allowed"),
        ({"profile": {"checkpoint": "other.pth"}}, "profile.checkpoint is not allowed"),
        ({"prepare": {"input": "a.csv", "output": "data"}}, "prepare.output is not allowed"),
        ({"tune": {"output": "sweep"}}, "tune.output is not allowed"),
    ],
)
def test_what_steps_give_themselves_is_refused(content, said):
    with pytest.raises(ValueError, match=said):
        read_keys(content)


def test_a_missing_file_says_how_to_begin(capsys):
    assert main(["pipeline", "run", "mine.yaml"]) == 2
    assert "mine.yaml does not exist: hetcomp pipeline init mine.yaml writes one" in capsys.readouterr().err


def test_a_missing_input_is_said_before_anything_runs(capsys):
    written("prepare: {format: table, input: ratings.csv}\ndataset: mine\nskip: [export, profile]\n")
    assert main(["pipeline", "run"]) == 2
    assert "ratings.csv, which the step prepare reads, does not exist" in capsys.readouterr().err
    assert not Path("pipeline").exists()


def test_the_document_says_what_the_keys_mean():
    page = document("docs/pipeline.md")
    for key, declared in PipelineFile.declarations().items():
        assert f"| `{key}` | {declared.meaning.rstrip('.')} |" in page.lines
    files = [block.text for block in page.blocks if block.language == "yaml"]
    assert len(files) == 2
    for text in files:
        keys = read_keys(read_yaml(text))
        steps_of(Pipeline(Path("pipeline.yaml"), keys), option_words)


def test_the_documents_first_file_is_the_one_that_init_writes():
    Path("ratings.csv").touch()
    shown = next(block.text for block in document("docs/pipeline.md").blocks if block.language == "yaml")
    written_first = template(Path("pipeline.yaml"), Path("ratings.csv"))
    assert shown.splitlines() == [line for line in written_first.splitlines() if line and line[0] != "#"]
