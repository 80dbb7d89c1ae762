"""The first file: every key explained, and it runs as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recbole_hetcomp.cli import main
from recbole_hetcomp.pipeline.file import PipelineFile, read_keys
from recbole_hetcomp.pipeline.template import template


def test_all_keys_are_there_with_their_meaning(capsys):
    assert main(["pipeline", "init"]) == 0
    assert "pipeline run pipeline.yaml goes the way" in capsys.readouterr().out
    text = Path("pipeline.yaml").read_text(encoding="utf-8")
    for key, declared in PipelineFile.declarations().items():
        assert f"# {declared.meaning}\n" in text
        assert f"\n{key}: " in text or f"\n# {key}: " in text
    assert read_keys(yaml.safe_load(text)).dataset == "ml-100k"


def test_with_its_comments_taken_away_each_line_is_still_read():
    lines = [line.removeprefix("# ") for line in template(Path("pipeline.yaml")).splitlines()]
    keys = PipelineFile.names()
    content = yaml.safe_load("\n".join(line for line in lines if line.partition(":")[0] in keys))
    assert set(content) == set(keys)
    content["teachers"] = [*content["teachers"], "import:theirs"]
    assert read_keys(content).skip == ("profile",)


def test_a_table_of_ones_own(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "my ratings.csv").write_text("user_id,item_id\n", encoding="utf-8")
    Path("deep").mkdir()
    assert main(["pipeline", "init", "deep/way.yaml", f"--input={tmp_path / 'data' / 'my ratings.csv'}"]) == 0
    keys = read_keys(yaml.safe_load(Path("deep/way.yaml").read_text(encoding="utf-8")))
    assert keys.dataset == "my-ratings"
    assert keys.prepare is not None
    assert (Path("deep") / keys.prepare["input"]).resolve() == tmp_path / "data" / "my ratings.csv"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["there.yaml"], "there.yaml is there already"),
        (["nowhere/a.yaml"], "nowhere does not exist"),
        (["a.yaml", "--input=none.csv"], "'none.csv' does not exist"),
        (["a.yaml", "--input=there.yaml", "--name=ml-100k"], "name is 'ml-100k'; allowed: another one"),
        (["a.yaml", "--input=there.yaml", "--name=a/b"], "name is 'a/b'; allowed: letters"),
    ],
)
def test_what_is_refused(words, message, capsys):
    Path("there.yaml").write_text("mine", encoding="utf-8")
    assert main(["pipeline", "init", *words]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in Path.cwd().iterdir()] == ["there.yaml"]
    assert Path("there.yaml").read_text(encoding="utf-8") == "mine"
