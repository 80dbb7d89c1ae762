"""One page of what the steps have left."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from recbole_hetcomp.data.prepare import Layout, prepare
from recbole_hetcomp.files import write_json
from recbole_hetcomp.pipeline.report import main
from recbole_hetcomp.pipeline.state import Done, State


@pytest.fixture
def out(finished_run, tmp_path) -> Path:
    """What the steps leave, of a run that was made before."""
    out = tmp_path / "out"
    (out / "student").mkdir(parents=True)
    for name in ("results.json", "results.csv", "curves.png"):
        shutil.copy(finished_run.results / name, out / "student" / name)
    (tmp_path / "users.dat").write_text("5 1 2 3 4 5\n" * 4 + "1 7\n", encoding="utf-8")
    (out / "data").mkdir()
    prepare(tmp_path / "users.dat", out / "data", "toy", Layout("citeulike"))
    write_json(out / "evaluation.json", {"largest_difference": 2e-5})
    State(out).end("distil", Done([["hetcomp", "run", "--note=<b>x</b>"]], "0.1.0", {}, {}, 12.3))
    return out


def pages(out: Path) -> tuple[str, str]:
    return (out / "report.html").read_text(encoding="utf-8"), (out / "report.md").read_text(encoding="utf-8")


def test_all_that_was_measured_is_shown(out, capsys):
    assert main([str(out), "toy"]) == 0
    assert "report.html" in capsys.readouterr().out
    table = pd.read_csv(out / "student" / "results.csv").set_index("name")
    for page in pages(out):
        assert "the largest difference is 2e-05" in page
        assert "4 users, 5 items, 20 interactions" in page
        assert "dropped: user with fewer than 5 interactions" in page
        for name, row in table.iterrows():
            assert re.search(rf"{name}.*?{row['recall@50']:.4f}", page, flags=re.DOTALL)
        assert f"{table.loc['HetComp', 'share_of_ensemble']:.1%}" in page
        assert "12.3" in page
        assert "<b>x</b>" not in page
    assert "data:image/png;base64," in pages(out)[0]


def test_steps_that_were_left_out_leave_no_section(out):
    for name in ("data", "evaluation.json"):
        shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    assert main([str(out), "toy"]) == 0
    assert not re.search("The data|The export|largest difference", pages(out)[1])
