"""The gate of a production build: does a student keep enough, is it fast and small, is it exported as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from recbole_hetcomp.deployment import THREADS, K
from recbole_hetcomp.deployment.cost import Stopwatch, check_limits
from recbole_hetcomp.deployment.parity import parity_of
from recbole_hetcomp.deployment.saved import SavedStudent
from recbole_hetcomp.files import finite, versions, write_json, write_text_whole
from recbole_hetcomp.metrics.per_user import is_per_user
from recbole_hetcomp.metrics.share import CONFIDENCE, Share, share_of_means

ENDINGS = (".html", ".md", ".json")
_NOTE = (
    "Share: the student's mean over the ensemble's, on the test split's users; interval: paired bootstrap over them. "
    "Latency: one user at a time, all items scored, training items left out; 95 of 100 answers are no slower."
)


@dataclass(frozen=True)
class Demands:
    """What is demanded.

    Attributes:
        keep: share of the ensemble's accuracy.
        metric: RecBole's metric, ``NDCG@50``; None: the run's validation metric.
        max_ms: milliseconds for one user, 95th percentile; None: no demand.
        max_bytes: bytes that the model keeps; None: no demand.
        strict: whether the lower end of the share's interval must reach ``keep``, not the share alone.
        k: items of a timed list.
    """

    keep: float
    metric: str | None = None
    max_ms: float | None = None
    max_bytes: int | None = None
    strict: bool = False
    k: int = K

    def check(self) -> None:
        """Refuse demands that make no sense.

        Raises:
            ValueError: names one.
        """
        if not (math.isfinite(self.keep) and self.keep > 0):
            raise ValueError(f"keep={self.keep} is not allowed: a share above 0, such as 0.98")
        check_limits(self.max_bytes, self.max_ms, self.k)
        if self.metric is not None:
            parsed_metric(self.metric)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: its name.
        found: what was found, in words.
        demanded: what was demanded, in words.
        passed: whether it is met; None where nothing was demanded.
        numbers: the same as numbers.
    """

    what: str
    found: str
    demanded: str
    passed: bool | None
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        findings: all that was looked at.
        about: model, data set, checkpoint.
    """

    findings: tuple[Finding, ...]
    about: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every demand is met."""
        return all(finding.passed is not False for finding in self.findings)

    def table(self) -> pd.DataFrame:
        """A row a finding, as text."""
        words = {True: "pass", False: "FAIL", None: "–"}
        return pd.DataFrame(
            [
                {"": words[one.passed], "what": one.what, "found": one.found, "demanded": one.demanded}
                for one in self.findings
            ]
        )

    @property
    def title(self) -> str:
        """The verdict in a line."""
        return f"{self.about['model']} on {self.about['dataset']}: {'pass' if self.passed else 'FAIL'}"

    def write(self, target: Path) -> None:
        """Write one page, whole or not at all: HTML, Markdown or JSON by its ending."""
        if target.suffix == ".json":
            numbers = {one.what: {**one.numbers, "passed": one.passed} for one in self.findings}
            content = {"passed": self.passed, **self.about, "findings": numbers, "versions": versions()}
            write_json(target, finite(content))
            return
        from recbole_hetcomp.results.document import Section, Table, html, markdown

        about = pd.DataFrame({"name": list(self.about), "value": [str(value) for value in self.about.values()]})
        sections = [
            Section("Verdict", [Table("What was demanded and found", self.table(), None, _NOTE)]),
            Section("Model and data", [Table("What was checked", about), Table("Versions", _named(versions()))]),
        ]
        write_text_whole(target, (html if target.suffix == ".html" else markdown)(self.title, sections))


def _named(values: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"name": list(values), "value": list(values.values())})


def parsed_metric(text: str) -> tuple[str, int]:
    """A metric's name and cut-off.

    Raises:
        ValueError: it is no metric of top lists that is the mean of users' values.

    >>> parsed_metric("NDCG@50")
    ('NDCG', 50)
    """
    name, _, cut = text.partition("@")
    if not cut.isdigit() or int(cut) < 1 or not is_per_user(name):
        raise ValueError(
            f"metric={text!r} is not allowed: the mean of users' values at a cut-off, such as Recall@50 or NDCG@10"
        )
    return name, int(cut)


def check_target(target: Path) -> None:
    """Refuse a page that could not be written.

    Raises:
        ValueError: its ending is not known, or it is a folder.
        FileNotFoundError: its folder does not exist.
        MissingPackageError: jinja2 is not installed, which HTML and Markdown need.
    """
    from recbole_hetcomp.extras import require

    if target.suffix not in ENDINGS:
        raise ValueError(f"to={str(target)!r} is not allowed: a file that ends in {', '.join(ENDINGS)}")
    if target.is_dir():
        raise ValueError(f"to={str(target)!r} is not allowed: it is a folder")
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(f"{target.absolute().parent} does not exist")
    if target.suffix != ".json":
        require("The page", "jinja2")


def check_student(
    student: SavedStudent, demands: Demands, export: Path | None = None, about: dict[str, Any] | None = None
) -> Verdict:
    """Look at a saved student, and at its export.

    Args:
        student: the student.
        demands: what is demanded.
        export: the folder that ``hetcomp export`` wrote of it; None: it is not looked at.
        about: what else the page says.

    Raises:
        ValueError: a demand makes no sense, the store lacks teachers, or the export is of another model.
        DamagedFileError: the export is damaged.
    """
    demands.check()
    metric, cut = parsed_metric(demands.metric or str(student.config["valid_metric"]))
    longest = student.settings.K_prime // 2
    if cut > longest:
        raise ValueError(
            f"metric={metric}@{cut} is not allowed: at most @{longest}, half of the teachers' stored lists"
        )
    findings = [_share(student, demands, metric, cut), *_costs(student, demands)]
    if export is not None:
        findings.append(_parity(student, export, demands.k))
    named = {
        "model": student.config["model"],
        "backbone": student.settings.student_backbone,
        "dimension": student.config["embedding_size"],
        "dataset": student.config["dataset"],
        "data": student.data.fingerprint,
        "teachers": ", ".join(student.settings.teachers),
    }
    return Verdict(tuple(findings), {**named, **(about or {})})


def _share(student: SavedStudent, demands: Demands, metric: str, cut: int) -> Finding:
    ensemble = student.ensemble()
    mine, theirs = student.per_user([student.lists(cut), ensemble.lists], metric, cut)
    found: Share = share_of_means(mine, theirs)
    decides = found.low if demands.strict else found.share
    return Finding(
        f"share of the ensemble's {metric}@{cut}",
        f"{found.share:.2%} [{found.low:.2%}, {found.high:.2%}], {mine.mean():.4f} of {theirs.mean():.4f}",
        f"at least {demands.keep:.2%}" + (f", by the {CONFIDENCE:.0%} interval's lower end" if demands.strict else ""),
        bool(decides >= demands.keep),
        {
            "share": found.share,
            "low": found.low,
            "high": found.high,
            "student": float(mine.mean()),
            "ensemble": float(theirs.mean()),
            "users": len(mine),
        },
    )


def _costs(student: SavedStudent, demands: Demands) -> list[Finding]:
    watch = Stopwatch(student.data, demands.k)
    cost = watch.cost_of(student.on(torch.device("cpu")))
    k, p50, p95, size = watch.length, cost.p50_ms, cost.p95_ms, int(cost.bytes)
    return [
        Finding(
            "latency of one user",
            f"{p50:.3f} ms median, {p95:.3f} ms at the 95th percentile (k = {k}, {THREADS} thread)",
            "–" if demands.max_ms is None else f"at most {demands.max_ms:g} ms at the 95th percentile",
            None if demands.max_ms is None else p95 <= demands.max_ms,
            {"p50_ms": p50, "p95_ms": p95, "k": k, "threads": THREADS},
        ),
        Finding(
            "size",
            f"{size:,} bytes",
            "–" if demands.max_bytes is None else f"at most {demands.max_bytes:,} bytes",
            None if demands.max_bytes is None else size <= demands.max_bytes,
            {"bytes": size},
        ),
    ]


def _parity(student: SavedStudent, export: Path, k: int) -> Finding:
    found = parity_of(student, export, min(k, student.data.n_items - 1))
    lists = found.agreement
    said = f"top {k}: {lists.same:,} of {lists.users:,} users the same, {lists.ties:,} but for ties, "
    said += f"{lists.different:,} different" + ("" if found.seen_alike else "; other seen items are left out")
    return Finding(
        "parity of the export",
        said,
        "no user's list differs beyond ties",
        found.holds,
        {
            "same": lists.same,
            "ties": lists.ties,
            "different": lists.different,
            "seen_alike": found.seen_alike,
            "bytes": found.bytes,
        },
    )
