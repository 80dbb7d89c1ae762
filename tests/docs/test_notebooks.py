"""The notebooks run from their first cell to their last, and what they show is small and names no machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from documents import ROOT
from nbclient import NotebookClient

WALK = ROOT / "docs" / "notebooks" / "from-csv-to-recommendations.ipynb"
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))
LARGEST = 250_000  # bytes


def shown(notebook: Any) -> Iterator[str]:
    """The text of all outputs."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            yield from output.get("data", {}).values()
            yield from (str(output[key]) for key in ("text", "evalue") if key in output)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_what_is_shown_is_small_and_names_no_machine(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert file.stat().st_size < LARGEST
    texts = [text for text in shown(notebook) if not re.fullmatch(r"[\w+/=\s]+", text)]  # pictures
    for text in [*texts, *(cell.source for cell in notebook.cells)]:
        assert not re.search(r"(?<![\w.:/])/(tmp|home|work|usr|opt|root|Users|var)/", text)


@pytest.mark.slow
def test_from_a_csv_to_recommendations_for_me(tmp_path, monkeypatch, subprocess_environment):
    monkeypatch.setenv("PYTHONPATH", subprocess_environment["PYTHONPATH"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(WALK, as_version=4)
    probe = nbformat.v4.new_code_cell(
        "print('seen', set(for_me['title']) & set(mine), 'listed', len(for_me), 'teachers',"
        " (table['role'] == 'teacher').sum(), 'files', (manifest['parity']['artefacts']['items.faiss']['different']))"
    )
    notebook.cells.append(probe)
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "".join(output["text"] for output in notebook.cells[-1].outputs)
    assert said == "seen set() listed 10 teachers 2 files 0\n"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert list(Path(tmp_path).iterdir()) == []  # it works in a folder of its own
