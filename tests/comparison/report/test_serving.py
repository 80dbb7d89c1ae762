"""The report's table of what serving costs."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from recbole_hetcomp.comparison.report.serving import serving_table


def runs() -> pd.DataFrame:
    rows = [
        ("IALS", "teacher", "", float("nan"), 4000, 2.0, 3.0, 500.0),
        ("TeacherEnsemble", "ensemble", "", float("nan"), 9000, 12.0, 15.0, 80.0),
        ("HetComp", "student", "BPR", 6.0, 60, 0.25, 0.5, 9000.0),
        ("RRD", "student", "BPR", 6.0, 60, 0.35, 0.5, 7000.0),
        ("HetComp", "student", "BPR", 16.0, 160, 0.6, 0.7, 5000.0),
    ]
    names = [
        "method",
        "role",
        "backbone",
        "dimension",
        "parameters",
        "latency_ms",
        "latency_p95_ms",
        "users_per_second",
    ]
    return pd.DataFrame(rows, columns=names).assign(dataset="d", bytes=lambda table: 4 * table["parameters"])


def test_a_line_a_model_and_one_for_students_of_a_size():
    table = serving_table(SimpleNamespace(runs=runs()), "d")
    cells = table.cells.set_index("model")
    small, large = "BPR student, dimension 6", "BPR student, dimension 16"
    assert cells.index.tolist() == ["IALS", "TeacherEnsemble", small, large]
    assert cells.loc[small, ["ms, median", "users/s"]].tolist() == ["0.30", "8,000"]
    assert cells["times as fast as the ensemble"].tolist() == ["6.0", "1.0", "40.0", "20.0"]
    assert cells.loc["IALS", "MB"] == "0.016"


def test_without_throughput_there_is_no_table_and_what_is_not_known_is_a_dash():
    assert serving_table(SimpleNamespace(runs=runs().drop(columns="users_per_second")), "d") is None
    assert serving_table(SimpleNamespace(runs=runs()), "another") is None
    some = runs()
    some.loc[0, ["latency_ms", "latency_p95_ms", "users_per_second"]] = float("nan")
    cells = serving_table(SimpleNamespace(runs=some), "d").cells.set_index("model")
    assert cells.loc["IALS", ["ms, median", "times as fast as the ensemble"]].tolist() == ["–", "–"]
