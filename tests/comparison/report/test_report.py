"""The whole report, from whole and from partial folders."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from benchmark_output import METHODS, write_benchmark

from recbole_hetcomp.comparison.report.files import read_results
from recbole_hetcomp.comparison.report.findings import findings
from recbole_hetcomp.comparison.report.pairs import compare, conditions
from recbole_hetcomp.comparison.report.plots import accuracy_against_parameters
from recbole_hetcomp.comparison.report.tables import (
    ablation_rows,
    accuracy_table,
    beyond_table,
    comparison_table,
    mean_and_spread,
    p_value,
    reference_table,
    significance,
)
from recbole_hetcomp.comparison.report.write import write_report

PICTURES = ("size-", "curves-", "gains-", "curriculum-")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    write_benchmark(folder, dimensions=(6, 32), seeds=(1, 2), n_users=250)
    write_report(folder, resamples=99)
    return folder


def report_of(tmp_path: Path, **change) -> str:
    write_benchmark(tmp_path, **{"dimensions": (6,), "seeds": (1, 2), "n_users": 20, "ablations": False, **change})
    write_report(tmp_path, resamples=99)
    return (tmp_path / "report.md").read_text(encoding="utf-8")


class Links(HTMLParser):
    """Collects what a page would load or lead to, and its unclosed elements."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.loaded += [given[name] for name in ("src", "href", "data", "action") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_beside_it(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    links = Links()
    links.feed(page)
    assert links.open == []
    assert all(link.startswith(("#", "data:image/png;base64,iVBOR")) for link in links.loaded)
    assert {link[1:] for link in links.loaded if link.startswith("#")} <= set(links.ids)
    assert len(links.ids) == len(set(links.ids))
    assert "<script" not in page
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert "@import" not in page


def test_the_markdown_shows_pictures_that_are_there(folder):
    text = (folder / "report.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\((report_pictures/[^)]+)\)", text)
    assert len(shown) == 1 + 3 * 2
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in shown)
    for kind in PICTURES:
        assert any(Path(name).name.startswith(kind) for name in shown)
    for part in (
        "What each part is worth",
        "Tests over users",
        "Tests over seeds",
        "Beyond accuracy",
        "Data card citeulike-t.card.json",
        "Command: hetcomp benchmark --config citeulike",
        "Versions of the runs",
        "Tuning trials",
        "Settings that differ between runs",
    ):
        assert part in text
    assert "What is missing" not in text
    assert "nan" not in text.lower().replace("finance", "")


def test_no_folder_of_the_machine_is_told(folder):
    write_report(folder)
    assert "tuning.search" in (folder / "report.md").read_text(encoding="utf-8")
    for name in ("report.md", "report.html"):
        assert "/home/somebody" not in (folder / name).read_text(encoding="utf-8")


def test_the_accuracy_table_by_hand(folder):
    results = read_results(folder)
    condition = conditions(results.runs)[0]
    comparisons = compare(results, condition, ["recall@50"], 99)
    table = accuracy_table(results, condition, comparisons, "recall@50")
    runs = results.runs
    own = runs[(runs["dimension"] == 6) & (runs["method"] == "MTD")]["recall@50"]
    row = table.cells.set_index("method").loc["MTD"]
    assert row["recall@50"] == f"{own.mean():.4f} ± {own.std():.4f}"
    ensemble = runs.loc[runs["role"] == "ensemble", "recall@50"].item()
    assert row["of ensemble"] == f"{own.mean() / ensemble:.1%}"
    assert row["MB"] == "0.720"
    assert row["parameters"] == "180,000"
    means = runs[(runs["dimension"] == 6) & runs["method"].isin(METHODS)].groupby("method")["recall@50"].mean()
    ordered = list(means.sort_values(ascending=False).index)
    marks = dict(zip(table.cells["method"], table.marks["recall@50"]))
    assert marks[ordered[0]] == "best"
    assert marks[ordered[1]] == "second"
    assert marks["TeacherEnsemble"] == "reference"
    assert list(table.cells["method"]) == ["TeacherEnsemble", *METHODS]


def test_runs_that_were_still_improving_are_marked(folder):
    results = read_results(folder)
    condition = conditions(results.runs)[0]
    here = (results.runs["dimension"] == 6) & (results.runs["role"] == "student")
    last = results.curves.dropna(subset=["valid"])["epoch"].max()
    runs = results.runs.assign(best_epoch=results.runs["role"].map({"teacher": float(last), "ensemble": float("nan")}))
    runs.loc[here, "best_epoch"] = last - 1.0
    first = here & (runs["method"] == "MTD") & (runs["seed"] == 1)
    assert first.sum() == 1
    for best, seeds in ((last - 1.0, "2"), (float(last), "2, 1 ↗")):
        runs.loc[first, "best_epoch"] = best
        changed = replace(results, runs=runs)
        table = accuracy_table(changed, condition, compare(changed, condition, ["recall@50"], 99), "recall@50")
        assert dict(zip(table.cells["method"], table.cells["seeds"]))["MTD"] == seeds
        assert ("↗" in table.note) == ("↗" in seeds)
        teachers = reference_table(changed, condition.dataset)
        assert not teachers.cells["seeds"].str.contains("↗").any()


def test_the_mark_follows_the_corrected_test(folder):
    results = read_results(folder)
    condition = conditions(results.runs)[0]
    students = condition.students(results.runs)
    comparisons = compare(results, condition, ["recall@50"], 99)
    users = comparisons.users

    def mark(p: float, difference: float):
        changed = type(comparisons)(users.assign(p_t_holm=p, difference=difference), comparisons.seeds, ())
        return significance(students, changed, "recall@50")

    assert [mark(0.049, 0.1), mark(0.049, -0.1), mark(0.05, 0.1)] == ["▲", "▼", ""]
    assert significance(students, type(comparisons)(pd.DataFrame(), pd.DataFrame(), ()), "recall@50") is None


def test_the_other_tables(folder):
    results = read_results(folder)
    condition = conditions(results.runs)[0]
    comparisons = compare(results, condition, ["recall@50"], 99)
    parts = comparison_table("parts", ablation_rows(comparisons.users, ["recall@50"]), "", effect=True)
    assert parts.cells["variant"][0] == "no DKC"
    row = comparisons.find("recall@50", "HetComp (no DKC)")
    assert parts.cells["effect"][0] == f"{row['difference']:+.4f}".replace("-", "−")
    beyond = beyond_table(results, "citeulike-t")
    assert beyond.cells.set_index("model").loc["TeacherEnsemble", "overlap@50"] == "100.0%"
    assert len(beyond.cells) == 6 + 1 + 4 + 2 * 16
    references = reference_table(results, "citeulike-t")
    assert set(references.marks["recall@50"]) == {"", "best", "second"}


def test_the_findings_are_those_of_the_tables(folder):
    results = read_results(folder)
    condition = conditions(results.runs)[0]
    comparisons = compare(results, condition, ["recall@50", "ndcg@50"], 99)
    table, sizes = findings(results, {condition: comparisons}, ["recall@50", "ndcg@50"])
    assert list(table.cells["metric"]) == ["recall@50", "ndcg@50"]
    first, means = table.cells.iloc[0], condition.students(results.runs).groupby("method")["recall@50"].mean()
    other = max(METHODS, key=lambda name: -1 if name == "HetComp" else means[name])
    row = comparisons.find("recall@50", other)
    assert first["HetComp"].split()[0] == f"{means['HetComp']:.4f}"
    assert first["best other"] == f"{other} {means[other]:.4f}"
    assert first["against it"] == f"{means['HetComp'] / means[other] - 1:+.1%}".replace("-", "−")
    assert first["against NoKD"] == f"{means['HetComp'] / means['NoKD'] - 1:+.1%}".replace("-", "−")
    assert first["p"] == p_value(row["p_t_holm"])
    assert [text.count("ensemble's") for text in sizes.points] == [1, 1]


def test_the_student_alone_can_be_the_best_other(folder):
    results = read_results(folder)
    runs = results.runs[(results.runs["role"] != "student") | results.runs["method"].isin(["NoKD", "HetComp"])]
    fewer = type(results)(**{**vars(results), "runs": runs})
    condition = conditions(runs)[0]
    table, _ = findings(fewer, {condition: compare(fewer, condition, ["recall@50"], 99)}, ["recall@50"])
    (line,) = table.cells.to_dict("records")
    assert line["best other"].startswith("NoKD ")
    assert line["against it"] == line["against NoKD"]


def test_what_is_far_below_does_not_squeeze_the_picture(folder):
    results = read_results(folder)
    runs = results.runs.copy()
    runs["recall@50"] = (runs["method"] != "ItemKNN") * 0.249 + 0.001
    condition = conditions(runs)[0]
    low = type(results)(**{**vars(results), "runs": runs})
    picture = accuracy_against_parameters(low, condition.dataset, condition.backbone, "recall@50")
    assert picture.caption.endswith("Below the picture: ItemKNN 0.0010.")
    runs["recall@50"] = 0.2
    picture = accuracy_against_parameters(low, condition.dataset, condition.backbone, "recall@50")
    assert picture.caption.endswith("bars: s.d. over seeds.")


def test_equal_means_share_a_mark(folder):
    results = read_results(folder)
    runs = results.runs.copy()
    runs["recall@50"] = 0.25
    tied = type(results)(**{**vars(results), "runs": runs})
    assert set(reference_table(tied, "citeulike-t").marks["recall@50"]) == {"best"}


def test_a_teacher_and_a_baseline_of_one_name_are_two(folder):
    results = read_results(folder)
    runs = results.runs.replace({"method": {"EASE": "BPR"}})
    runs.loc[runs["role"] == "baseline", "recall@50"] = 0.9
    runs.loc[(runs["role"] == "baseline") & (runs["method"] == "Pop"), "recall@50"] = 0.95
    table = reference_table(type(results)(**{**vars(results), "runs": runs}), "citeulike-t")
    marks = dict(zip(zip(table.cells["model"], table.cells["role"]), table.marks["recall@50"]))
    assert marks["Pop", "baseline"] == "best"
    assert marks["BPR", "baseline"] == "second"
    assert marks["BPR", "teacher"] == ""


def test_mean_and_spread():
    assert mean_and_spread(pd.Series([1.0, 2.0, 3.0])) == "2.0000 ± 1.0000"
    assert mean_and_spread(pd.Series([float("nan")])) == "–"


def test_one_seed(tmp_path):
    text = report_of(tmp_path, seeds=(5,))
    assert "Every student was trained with one seed" in text
    assert "are not tested over seeds: it needs 2 or more" in text
    assert "Tests over users" in text
    assert "Tests over seeds" not in text
    assert " ± " not in text.replace("mean ± s.d.", "")


def test_runs_alone(tmp_path):
    write_benchmark(tmp_path, dimensions=(6,), seeds=(1, 2), n_users=10, ablations=False)
    for name in ("per_user.parquet", "curves.parquet", "plan.yaml", "tuning.csv", "runs.parquet"):
        (tmp_path / name).unlink()
    write_report(tmp_path, resamples=99)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "nothing is tested over users" in text
    assert "HetComp was not tested against another method over users." in text
    assert "curves-" not in text
    assert "Versions of this report" in text


@pytest.mark.parametrize("kept", [["HetComp"], ["NoKD", "RD"], ["HetComp", "HetComp (no DKC)"]])
def test_few_methods(tmp_path, kept):
    write_benchmark(tmp_path, dimensions=(6,), seeds=(1, 2), n_users=10)
    for name in ("runs", "per_user", "curves"):
        table = pd.read_parquet(tmp_path / f"{name}.parquet")
        table[table["method"].isin(kept)].to_parquet(tmp_path / f"{name}.parquet", index=False)
    write_report(tmp_path, resamples=99)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "There is no ensemble" in text
    assert ("HetComp was not run" in text) == ("HetComp" not in kept)


def test_teachers_alone(tmp_path):
    write_benchmark(tmp_path, dimensions=(6,), seeds=(1,), n_users=10)
    for name in ("runs", "per_user"):
        table = pd.read_parquet(tmp_path / f"{name}.parquet")
        table[table["role"] == "teacher"].to_parquet(tmp_path / f"{name}.parquet", index=False)
    (tmp_path / "curves.parquet").unlink()
    write_report(tmp_path, resamples=99)
    assert "There is no student." in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_two_data_sets_and_another_metric(tmp_path):
    write_benchmark(tmp_path, datasets=("a", "b c"), dimensions=(4,), seeds=(1,), n_users=10, ablations=False)
    write_report(tmp_path, metric="ndcg@10", resamples=99)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "## a\n" in text
    assert "## b c\n" in text
    assert "| b c, BPR, dimension 4 | ndcg@10" in text
    assert "(report_pictures/size-b_c-BPR.png)" in text


def test_an_unknown_metric_is_refused(folder):
    with pytest.raises(ValueError, match="'hit@7' was not measured; there are: recall@10, ndcg@10"):
        write_report(folder, metric="hit@7")


def test_a_report_is_the_same_each_time(tmp_path):
    first = report_of(tmp_path), (tmp_path / "report.html").read_bytes()
    write_report(tmp_path, resamples=99)
    assert ((tmp_path / "report.md").read_text(encoding="utf-8"), (tmp_path / "report.html").read_bytes()) == first
