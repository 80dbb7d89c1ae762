"""A benchmark from its config file to its report: order, progress, going on after a stop.

Four stages: teachers, and baselines as far as they need no choice; the ensembles, students' trials and students that
are not tuned; the best trials once more, where they run otherwise than the final runs; the runs whose settings these
chose. A cell that is done is never run again.
"""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import yaml
from tqdm import tqdm

from recbole_hetcomp.comparison.checks import check_plan
from recbole_hetcomp.comparison.collect import FAILURES, chosen, finalists, write_tables
from recbole_hetcomp.comparison.estimate import benchmark_in_words
from recbole_hetcomp.comparison.folder import CELLS, CellFolder, CellSetup
from recbole_hetcomp.comparison.grid import Cell, Grid
from recbole_hetcomp.comparison.plan import BenchmarkPlan
from recbole_hetcomp.comparison.plan_file import read_plan
from recbole_hetcomp.comparison.processes import Processes
from recbole_hetcomp.files import versions, write_csv, write_text_whole
from recbole_hetcomp.recbole_bridge.registry import registered
from recbole_hetcomp.signals import ending_in_order, interrupted_status


def run_benchmark(
    config: str | Path,
    output: str | Path,
    changes: Sequence[str] = (),
    dry_run: bool = False,
    report_only: bool = False,
) -> int:
    """Run a benchmark, or go on with it.

    Args:
        config: its config file, or the name of one in ``properties/benchmark``.
        output: its folder.
        changes: changes to the config, ``key=value`` each.
        dry_run: only say what is to be run and what is done.
        report_only: only write the tables and the report anew.

    Returns:
        Exit status: 0, or 1 if a cell failed, or 130 if it was interrupted.

    Raises:
        ValueError, TypeError: the config is wrong; before anything runs.
        FileNotFoundError: there is no such config, or no such data set.
    """
    return run_grid(read_grid(config, changes), output, command_line(config, output, changes), dry_run, report_only)


def read_grid(config: str | Path, changes: Sequence[str] = ()) -> Grid:
    """A benchmark's cells from its config; arguments and errors as of :func:`run_benchmark`."""
    plan = _absolute(read_plan(config, changes))
    return Grid(plan, check_plan(plan))


def run_grid(grid: Grid, output: str | Path, command: str, dry_run: bool = False, report_only: bool = False) -> int:
    """Run a benchmark's cells; ``command`` is what is written down as having started it, the rest as above."""
    root = Path(output).absolute()
    if dry_run:
        print(describe(grid, root))
        return 0
    root.mkdir(parents=True, exist_ok=True)
    write_plan(grid, root, command)
    if report_only:
        return _report(grid, root)
    benchmark = Benchmark(grid, root)
    try:
        with ending_in_order():
            benchmark.run()
    except KeyboardInterrupt:
        print(f"\ninterrupted: the same command goes on with {root}")
        return interrupted_status()
    failed = benchmark.write_failures()
    status = _report(grid, root)
    for line in failed:
        print(line)
    return 1 if failed else status


def _absolute(plan: BenchmarkPlan) -> BenchmarkPlan:
    """The plan with its paths made absolute: a cell works in its own folder."""
    data_path, store_dir = (
        None if path is None else str(Path(path).absolute()) for path in (plan.data_path, plan.store_dir)
    )
    return replace(plan, data_path=data_path, store_dir=store_dir)


class Benchmark:
    """A benchmark at work.

    Args:
        grid: its cells.
        root: its folder.
    """

    def __init__(self, grid: Grid, root: Path) -> None:
        self.grid, self.root, plan = grid, root, grid.plan
        setup = CellSetup(plan.store_dir or str(root / "store"), plan.data_path, plan.threads)
        self.processes = Processes(root, setup, plan.workers)
        self.failures: dict[str, tuple[Cell, str]] = {}
        self._running: dict[str, str] = {}

    def run(self) -> None:
        """Run the four stages."""
        first, second, later = stages(self.grid, self.root)
        total = len(first) + len(second) + later
        known, undecided = _later_cells(self.grid, self.root)
        print(benchmark_in_words(self.grid, self.root, [*first, *second, *known, *undecided]))
        with tqdm(total=total, desc="benchmark", unit="cell", dynamic_ncols=True) as self.bar:
            self._run(first)
            self._run(second)
            self._run(self._finalists())
            self._run(self._chosen_runs())

    def _finalists(self) -> list[Cell]:
        cells = []
        for what in self.grid.tuned():
            found = list(finalists(self.grid, self.root, what).values())
            cells += found
            for _ in range(self.grid.finalists - len(found)):
                self._skip()  # fewer trials succeeded
        return cells

    def _chosen_runs(self) -> list[Cell]:
        cells = []
        for row, before in self.grid.finals():
            if not before:
                continue
            settings = chosen(self.grid, self.root, before[0])
            if settings is not None:
                cells += self.grid.runs(row, settings)
                continue
            for cell in self.grid.runs(row, {}):
                self._failed(cell, "not run: no trial of its tuning succeeded")
        return _by_seed(cells, self.grid.plan)

    def _run(self, cells: Sequence[Cell]) -> None:
        waiting = []
        for cell in cells:
            missing = self._missing_teacher(cell)
            if CellFolder(self.root, cell).result() is not None:
                self._skip()
            elif missing is not None:
                self._failed(cell, f"not run: teacher {missing} failed")
            else:
                waiting.append(cell)
        self.processes.run(waiting, self._started, self._ended)

    def _skip(self) -> None:
        self.bar.initial += 1  # no part of the rate from which the time left is told
        self.bar.update(1)

    def _missing_teacher(self, cell: Cell) -> str | None:
        """A teacher that a cell needs and that failed."""
        failed = {(other.method, other.split_seed) for other, _ in self.failures.values() if other.role == "teacher"}
        needed = cell.settings["teachers"] if needs_teachers(cell) else ()
        return next((name for name in needed if (name, cell.split_seed) in failed), None)

    def _started(self, cell: Cell) -> None:
        self._running[cell.key] = cell.label
        self._show()

    def _ended(self, cell: Cell, done: bool) -> None:
        self._running.pop(cell.key, None)
        if done:
            self.bar.update(1)
        else:
            error = CellFolder(self.root, cell).error() or {}
            self._failed(cell, str(error.get("error", "no result")))
        self._show()

    def _failed(self, cell: Cell, message: str) -> None:
        self.failures[cell.key] = cell, message
        self.bar.write(f"FAILED {cell.label}: {message}")
        self.bar.update(1)

    def _show(self) -> None:
        self.bar.set_postfix_str("; ".join(list(self._running.values())))

    def write_failures(self) -> list[str]:
        """Write ``failures.csv``, or remove an old one, and give what is to be said of them, line by line."""
        file = self.root / f"{FAILURES}.csv"
        if not self.failures:
            file.unlink(missing_ok=True)
            return []
        failed = sorted(self.failures.values(), key=lambda failure: _order_of(failure[0]))  # not as they happened
        table = pd.DataFrame([{"cell": cell.label, "key": cell.key, "error": message} for cell, message in failed])
        write_csv(file, table)
        return [f"{len(table)} cells failed; the same command tries them again:"] + [
            f"  {cell.label}: {message} ({self.root / CELLS / cell.key})" for cell, message in failed
        ]


def _order_of(cell: Cell) -> tuple[str, str, str, int, int, int]:
    """Where a cell stands in a list."""
    return cell.role, cell.method, cell.backbone or "", cell.dimension or 0, cell.seed, cell.trial or 0


def needs_teachers(cell: Cell) -> bool:
    """Whether a cell's model learns from teachers, or is made of them."""
    if cell.role in ("teacher", "baseline"):
        return False
    return bool(getattr(registered()[cell.model].trainer, "with_teachers", True))


def stages(grid: Grid, root: Path) -> tuple[list[Cell], list[Cell], int]:
    """The cells of the first two stages, and how many the others have."""
    untuned = _by_seed([cell for row, before in grid.finals() if not before for cell in grid.runs(row, {})], grid.plan)
    trials = [cell for what in grid.tuned() for cell in grid.trials(what)]
    alone = [cell for cell in [*trials, *untuned] if cell.role == "baseline"]
    taught = [cell for cell in [*trials, *untuned] if cell.role == "student"]
    chosen_runs = sum(len(grid.runs(row, {})) for row, before in grid.finals() if before)
    later = len(grid.tuned()) * grid.finalists + chosen_runs
    return [*grid.teachers(), *alone], [*grid.ensembles(), *taught], later


def _by_seed(cells: list[Cell], plan: BenchmarkPlan) -> list[Cell]:
    """All methods on the first seed, then on the next: a benchmark that is stopped has whole comparisons."""
    return sorted(cells, key=lambda cell: plan.seeds.index(cell.seed))


def describe(grid: Grid, root: Path) -> str:
    """What is to be run and what is done, as text."""
    first, second, _ = stages(grid, root)
    later, undecided = _later_cells(grid, root)
    known = [*first, *second, *later]
    kinds: Counter[tuple[str, str]] = Counter()
    done: Counter[tuple[str, str]] = Counter()
    for cell in known:
        kind = f"{cell.role} trial" if cell.tuning else cell.role, cell.method
        kinds[kind] += 1
        done[kind] += CellFolder(root, cell).result() is not None
    lines = [
        {"kind": kind, "method": name, "cells": kinds[kind, name], "done": done[kind, name]} for kind, name in kinds
    ]
    table = pd.DataFrame(lines).to_markdown(index=False, tablefmt="github")
    total = len(known) + len(undecided)
    more = f", {len(undecided)} of them after tuning" if undecided else ""
    counted = f"{total} cells{more}; {sum(done.values())} done, {total - sum(done.values())} to run"
    return f"{table}\n\n{counted}\n{benchmark_in_words(grid, root, [*known, *undecided])}"


def _later_cells(grid: Grid, root: Path) -> tuple[list[Cell], list[Cell]]:
    """The cells that tuning has decided on, and in place of those that it will decide on as many others."""
    known: list[Cell] = []
    undecided: list[Cell] = []
    for what in grid.tuned():
        again = list(finalists(grid, root, what).values())
        known += again
        undecided += [] if again else [grid.finalist(what, number) for number in range(grid.finalists)]
    for row, before in grid.finals():
        if before:
            settings = chosen(grid, root, before[0])
            (undecided if settings is None else known).extend(grid.runs(row, settings or {}))
    return known, undecided


def command_line(config: str | Path, output: str | Path, changes: Sequence[str]) -> str:
    """What is typed to run a benchmark.

    >>> command_line("smoke", "out", ["seeds=[1, 2]"])
    "hetcomp benchmark --config smoke --output out --set 'seeds=[1, 2]'"
    """
    words = ["hetcomp", "benchmark", "--config", str(config), "--output", str(output)]
    return shlex.join([*words, *(word for change in changes for word in ("--set", change))])


def write_plan(grid: Grid, root: Path, command: str) -> None:
    """Write ``plan.yaml``, the whole plan with versions, data's fingerprint and command; copy the data card, if any."""
    content = {"plan": grid.plan.plain(), "versions": versions(), "data": grid.data, "command": command}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_text_whole(root / "plan.yaml", text)
    source = Path(grid.plan.data_path or "") / grid.plan.dataset
    cards = sorted(source.glob("*card*")) if grid.plan.data_path else []
    for card in cards:
        (root / "data").mkdir(exist_ok=True)
        shutil.copy2(card, root / "data" / card.name)


def _report(grid: Grid, root: Path) -> int:
    """Write the tables and the report from what is done; 1 if nothing is."""
    if not write_tables(grid, root):
        print(f"no cell in {root} is done: nothing to report")
        return 1
    from recbole_hetcomp.comparison.report.write import write_report

    write_report(root, metric=(grid.plan.metric or grid.plan.settings["valid_metric"]).lower())
    print(f"report written to {root / 'report.md'} and {root / 'report.html'}")
    return 0
