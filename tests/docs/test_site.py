"""The documentation site builds, and what docstrings have of reStructuredText is turned."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from documents import ROOT

NEEDED = ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers.python", "latex2mathml")


def is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(is_there, NEEDED)), reason="needs pip install .[docs]"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A built site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


def test_pages_are_there(site):
    for page in (".", "method", "results/notebook", "architecture", "CHANGELOG", "api/core"):
        assert (site / page / "index.html").is_file(), page


def test_home_is_the_readme(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    assert "Squeeze an ensemble" in home
    assert 'href="method/"' in home
    assert 'src="images/accuracy-size.png"' in home


def test_results_come_with_their_reports(site):
    page = (site / "results" / "index.html").read_text(encoding="utf-8")
    reports = re.findall(r'href="\.\./(benchmarks/[^"#]*/)"', page)
    assert len(reports) > 5
    for report in reports:
        assert (site / report / "index.html").is_file(), report


def test_docstrings_are_markdown(site):
    pages = [page.read_text(encoding="utf-8") for page in (site / "api").rglob("*.html")]
    shown = [re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL) for page in pages]  # without the source
    assert any("<math" in page for page in shown)
    for page in shown:
        assert not re.search(r":(class|func|mod|meth):`|\.\. math::|={6,} |^<p>&gt;&gt;&gt;", page, flags=re.MULTILINE)
