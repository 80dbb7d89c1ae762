"""The picture of a run: panels that are filled, labels that do not lie on one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recbole_hetcomp.results.curves import draw_curves
from recbole_hetcomp.results.table import Result, Row

matplotlib = pytest.importorskip("matplotlib")
METRIC = "recall@50"


def row(name: str, role: str, score: float) -> Row:
    return Row(name, role, {METRIC: score}, {METRIC: score}, 1000, 1.0)


def result(curriculum_ends: int | None, epochs: int = 300) -> Result:
    """A run of 300 epochs whose curriculum, where it has one, ends early."""
    history: list[dict[str, Any]] = []
    for epoch in range(9, epochs, 10):
        line: dict[str, Any] = {"epoch": epoch, "valid": 0.5 - 0.4 / (1 + epoch / 20)}
        if curriculum_ends is not None and epoch <= curriculum_ends:
            done = epoch / curriculum_ends
            line |= {
                "discrepancy": {name: 0.9 - 0.3 * done for name in ("BPR", "LightGCN", "MultiVAE", "ItemVAE")},
                "snapshot_shares": [1 - done, done / 2, done / 2, 0.0],
                "fine": done,
            }
        history.append(line)
    rows = (row("BPR", "teacher", 0.4), row("LightGCN", "teacher", 0.45), row("TeacherEnsemble", "ensemble", 0.49),
            row("NoKD", "student", 0.41), row("HetComp", "student", 0.48))  # fmt: skip
    fields = {
        "run": "HetComp-1", "dataset": "ml-100k", "seed": 1, "fingerprint": "f", "metric": METRIC, "rows": rows,
        "history": tuple(history), "settings": {"valid_metric_bigger": True}, "teacher_epochs": {},
    }  # fmt: skip
    return Result(**{name: value for name, value in fields.items() if name in Result.__dataclass_fields__})


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``drawn(result)``: the figure that was saved, and how to measure it."""
    from matplotlib.figure import Figure

    kept: list[Any] = []
    save = Figure.savefig

    def keep(self: Any, *words: Any, **more: Any) -> None:
        save(self, *words, **more)
        kept.append(self)

    monkeypatch.setattr(Figure, "savefig", keep)

    def of(what: Result) -> Any:
        draw_curves(what, tmp_path / "curves.png")
        return kept[-1], kept[-1].canvas.get_renderer()

    return of


@pytest.mark.parametrize("ends", [None, 59, 299])
def test_no_panel_is_mostly_empty(ends, drawn):
    figure, _ = drawn(result(ends))
    assert len(figure.axes) == (1 if ends is None else 3)
    for axes in figure.axes:
        curves = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) > 2]
        left, right = axes.get_xlim()
        low, high = axes.get_ylim()
        heights = [value for line in axes.lines for value in line.get_ydata()]
        assert max(map(max, curves)) - min(map(min, curves)) > 0.8 * (right - left)
        assert max(heights) - min(heights) > 0.5 * (high - low) or (low, high) == (0, 1)


@pytest.mark.parametrize("ends", [None, 59, 299])
def test_nothing_is_cut_and_panels_do_not_overlap(ends, drawn):
    figure, renderer = drawn(result(ends))
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    title = figure._suptitle.get_window_extent(renderer)
    whole = figure.bbox
    for number, box in enumerate(boxes):
        assert box.x0 >= whole.x0
        assert box.y0 >= whole.y0
        assert box.x1 <= whole.x1
        assert not box.overlaps(title)
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])


@pytest.mark.parametrize("ends", [None, 59, 299])
def test_labels_of_an_axis_do_not_touch(ends, drawn):
    figure, renderer = drawn(result(ends))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label.get_window_extent(renderer) for label in axis.get_ticklabels() if label.get_text()]
            shown = [box for box in labels if axes.get_tightbbox(renderer).contains(*box.get_points().mean(axis=0))]
            assert not any(a.overlaps(b) for a, b in zip(shown, shown[1:]))
            name = axis.label.get_window_extent(renderer)
            assert not any(name.overlaps(box) for box in shown)
