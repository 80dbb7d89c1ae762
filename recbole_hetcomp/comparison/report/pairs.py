"""What is compared with what: the students of one condition, HetComp against the others and against its ablations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from recbole_hetcomp.comparison.report.files import Results
from recbole_hetcomp.comparison.statistics import CONDITION, paired_over_seeds, paired_over_users, with_holm

METHOD = "HetComp"
ALONE = "NoKD"
ALPHA = 0.05
BOOTSTRAPPED_USERS = 20_000  # users above which intervals are Student's t: BCa's jackknife grows with their square


@dataclass(frozen=True)
class Condition:
    """Students that can be compared: one data set, backbone and dimension."""

    dataset: str
    backbone: str
    dimension: float

    @property
    def label(self) -> str:
        """For headings."""
        return f"{self.backbone}, dimension {self.dimension:g}"

    @property
    def key(self) -> str:
        """For file names."""
        return "-".join(map(plain_name, (self.dataset, self.backbone, f"{self.dimension:g}")))

    def students(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of a table that are of this condition's students."""
        here = (table["dataset"] == self.dataset) & (table["backbone"] == self.backbone)
        same = table["dimension"].isna() if pd.isna(self.dimension) else table["dimension"] == self.dimension
        rows = table[here & same]
        return rows[rows["role"] == "student"] if "role" in rows else rows


def plain_name(name: str) -> str:
    """A name with letters, digits and underscores only.

    >>> plain_name("b c/d")
    'b_c_d'
    """
    return "".join(character if character.isalnum() else "_" for character in str(name))


def conditions(runs: pd.DataFrame) -> list[Condition]:
    """The conditions of a benchmark, by data set and backbone as they come, then by dimension."""
    students = runs.loc[runs["role"] == "student", list(CONDITION)].drop_duplicates()
    order = {name: list(dict.fromkeys(students[name])) for name in ("dataset", "backbone")}
    found = [Condition(*row) for row in students.itertuples(index=False)]
    return sorted(
        found, key=lambda one: (*(order[k].index(getattr(one, k)) for k in ("dataset", "backbone")), one.dimension)
    )


def is_ablation(name: str) -> bool:
    """Whether a method is HetComp without one of its parts.

    >>> is_ablation("HetComp (no DKC)"), is_ablation("HetComp")
    (True, False)
    """
    return name.startswith(f"{METHOD} (")


def methods_of(students: pd.DataFrame) -> list[str]:
    """Names of the methods, ablations left out, in order."""
    return [name for name in dict.fromkeys(students["method"]) if not is_ablation(name)]


def ablations_of(students: pd.DataFrame) -> list[str]:
    """Names of HetComp's ablations, in order."""
    return [name for name in dict.fromkeys(students["method"]) if is_ablation(name)]


def best_other(students: pd.DataFrame, metric: str) -> str | None:
    """The best distillation method, or student alone, besides HetComp and its ablations, by its mean; None without."""
    means = students.groupby("method", sort=False)[metric].mean()
    means = means[[name for name in methods_of(students) if name != METHOD]].dropna()
    return None if means.empty else str(means.idxmax())


@dataclass(frozen=True)
class Comparisons:
    """HetComp against the others of a condition.

    Attributes:
        users: rows of ``paired_over_users`` with ``family``; empty where nothing can be tested.
        seeds: rows of ``paired_over_seeds``.
        notes: what was not compared, and why; a sentence each.
    """

    users: pd.DataFrame
    seeds: pd.DataFrame
    notes: tuple[str, ...]

    def find(self, metric: str, other: str) -> pd.Series | None:
        """The comparison over users with one other by one metric."""
        if self.users.empty:
            return None
        rows = self.users[(self.users["metric"] == metric) & (self.users["other"] == other)]
        return None if rows.empty else rows.iloc[0]


def compare(results: Results, condition: Condition, main: Sequence[str], resamples: int) -> Comparisons:
    """Test HetComp against the other methods, its ablations and the ensemble.

    Each of the three is a family of Holm's correction, by each metric. Pairs are made over the seeds that both have.

    Args:
        results: the benchmark.
        condition: the students' condition.
        main: metrics that get every test and a bootstrap interval; the others get Student's t.
        resamples: of randomisation test and bootstrap.
    """
    students = condition.students(results.runs)
    notes: list[str] = []
    if METHOD not in set(students["method"]):
        return Comparisons(pd.DataFrame(), pd.DataFrame(), (f"{METHOD} was not run, so nothing is compared with it.",))
    families = {
        "methods": [name for name in methods_of(students) if name != METHOD],
        "ablations": ablations_of(students),
    }
    pairs = _pairs(results, condition, [other for others in families.values() for other in others], notes)
    users, seeds = [], []
    for metric in results.metrics:
        for family, others in families.items():
            users.append(_over_users(pairs, metric, family, others, metric in main, resamples, notes))
            if metric in main:
                seeds.append(_over_seeds(students, metric, family, others, resamples, notes))
        if metric in main:
            users.append(_against_ensemble(results, condition, metric, resamples, notes))
    return Comparisons(_joined(users), _joined(seeds), tuple(dict.fromkeys(notes)))


def _pairs(results: Results, condition: Condition, others: list[str], notes: list[str]) -> dict[str, pd.DataFrame]:
    """Users' values of HetComp and of each other, over the seeds and the users that both have."""
    if results.per_user is None:
        return {}
    own = condition.students(results.per_user)
    return {other: _common(own, other, notes) for other in others}


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if not table.empty]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _over_users(
    pairs: dict[str, pd.DataFrame],
    metric: str,
    family: str,
    others: list[str],
    full: bool,
    resamples: int,
    notes: list[str],
) -> pd.DataFrame:
    rows = []
    for other in others:
        if other not in pairs:
            continue
        try:
            rows.append(_tested(pairs[other], metric, other, full, resamples))
        except ValueError as error:
            notes.append(f"{METHOD} and {other} are not compared over users: {error}.")
    table = _joined(rows)
    return table if table.empty else with_holm(table).assign(family=family)


def _tested(
    pair: pd.DataFrame, metric: str, other: str, full: bool, resamples: int, same_seeds: bool = True
) -> pd.DataFrame:
    few = pair["user"].nunique() <= BOOTSTRAPPED_USERS
    return paired_over_users(
        pair,
        metric,
        METHOD,
        [other],
        tests=("t", "wilcoxon", "randomisation") if full else ("t",),
        interval="bca" if full and few else "t",
        resamples=resamples,
        same_seeds=same_seeds,
    )


def _common(per_user: pd.DataFrame, other: str, notes: list[str]) -> pd.DataFrame:
    rows = per_user[per_user["method"].isin([METHOD, other])]
    seeds = [set(rows.loc[rows["method"] == name, "seed"]) for name in (METHOD, other)]
    if not seeds[0] & seeds[1]:
        return rows  # the test says why there is no pair
    rows = rows[rows["seed"].isin(seeds[0] & seeds[1])]
    counts = rows.groupby("user").size()
    everywhere = counts.index[counts == rows[["method", "seed"]].drop_duplicates().shape[0]]
    left = len(counts) - len(everywhere)
    if left:
        notes.append(f"{METHOD} and {other}: {left} users are left out, who are not evaluated with every seed.")
    return rows[rows["user"].isin(everywhere)]


def _against_ensemble(
    results: Results, condition: Condition, metric: str, resamples: int, notes: list[str]
) -> pd.DataFrame:
    per_user = results.per_user
    if per_user is None:
        return pd.DataFrame()
    teacher = per_user[(per_user["role"] == "ensemble") & (per_user["dataset"] == condition.dataset)]
    mine = condition.students(per_user)
    mine = mine[mine["method"] == METHOD]
    if teacher.empty:
        return pd.DataFrame()
    name = str(teacher["method"].iloc[0])
    try:
        table = _tested(pd.concat([mine, teacher]), metric, name, True, resamples, same_seeds=False)
    except ValueError as error:
        notes.append(f"{METHOD} and {name} are not compared over users: {error}.")
        return pd.DataFrame()
    return table.assign(family="ensemble")


def _over_seeds(
    students: pd.DataFrame, metric: str, family: str, others: list[str], resamples: int, notes: list[str]
) -> pd.DataFrame:
    rows = []
    for other in others:
        pair = students[students["method"].isin([METHOD, other])]
        both = pair.groupby("seed")["method"].nunique()
        pair = pair[pair["seed"].isin(both.index[both == 2])]
        if pair["seed"].nunique() < 2:
            notes.append(f"{METHOD} and {other} are not tested over seeds: it needs 2 or more that both have.")
            continue
        # Wilcoxon's test tells no more than the randomisation test of so few values
        rows.append(paired_over_seeds(pair, metric, METHOD, [other], tests=("t", "randomisation"), resamples=resamples))
    table = _joined(rows)
    return table if table.empty else with_holm(table).assign(family=family)
