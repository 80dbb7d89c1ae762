"""Callbacks of a sweep: a result table that is there at any moment, and a scheduler's memory across restarts."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from ray.tune import Callback

from recbole_hetcomp.tune.results import Record, record_of, table, write_table
from recbole_hetcomp.tune.trial import Job


class TableKeeper(Callback):
    """Writes the result table whenever a trial ends, so that a killed driver leaves one.

    Args:
        job: what all trials share.
        metric: the validation metric that decides.
        bigger: whether a bigger value of it is better.
        folder: where the table is written.
    """

    def __init__(self, job: Job, metric: str, bigger: bool, folder: Path) -> None:
        self.job = job
        self.metric = metric
        self.bigger = bigger
        self.folder = folder
        self.records: list[Record] = []
        self.ended: set[str] | None = None  # trials that had ended after the last step; None: there was none

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ray: a trial has ended or was stopped."""
        self._note_end(trial)
        self._write(trials)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ray: a trial has failed for good."""
        self._note_end(trial)
        self._write(trials)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ray: a step of the sweep is over; when it is interrupted, all trials are counted as ended afterwards."""
        self.ended = {trial.trial_id for trial in trials if trial.status in ("TERMINATED", "ERROR")}

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Ray: the sweep has ended, or was interrupted."""
        self._write(trials)
        self.ended = None

    def _note_end(self, trial: Any) -> None:
        self.ended = {*(self.ended or ()), trial.trial_id}

    def _write(self, trials: list[Any]) -> None:
        ended = {trial.trial_id for trial in trials} if self.ended is None else self.ended
        self.records = [record_of(trial, self.job, trial.trial_id not in ended) for trial in trials]
        write_table(table(self.records, self.metric, self.bigger), self.folder)


class SchedulerMemory(Callback):
    """Saves ASHA's rungs with the sweep's state: Ray restores trials and searchers, but no scheduler.

    Args:
        scheduler: the sweep's ASHA scheduler.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def get_state(self) -> dict[str, Any]:
        """Ray: what is to be saved."""
        return {"rungs": pickle.dumps([bracket._rungs for bracket in self.scheduler._brackets])}

    def set_state(self, state: dict[str, Any]) -> None:
        """Ray: what was saved."""
        for bracket, rungs in zip(self.scheduler._brackets, pickle.loads(state["rungs"])):
            bracket._rungs = rungs
