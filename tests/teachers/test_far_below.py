"""A teacher whose settings do not suit the data is named."""

from __future__ import annotations

from recbole_hetcomp.teachers.knowledge import _report_far_below


def test_a_teacher_far_below_the_best_is_warned_of(caplog):
    _report_far_below("Recall@50", {"IALS": 0.32, "BPR": 0.25, "NeuMF": 0.066}, bigger=True)
    (record,) = caplog.records
    assert "teacher NeuMF is far below IALS: validation Recall@50 0.0660 against 0.3200" in record.getMessage()
    assert "hetcomp tune --model NeuMF" in record.getMessage()


def test_one_teacher_or_a_metric_that_falls_says_nothing(caplog):
    _report_far_below("Recall@50", {"IALS": 0.32}, bigger=True)
    _report_far_below("AveragePopularity@50", {"IALS": 0.32, "BPR": 0.1}, bigger=False)
    assert not caplog.records
