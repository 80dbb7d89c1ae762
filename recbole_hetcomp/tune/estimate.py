"""About how long a sweep takes."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_hetcomp.teachers.estimate import in_time, model_seconds, size_of_files, student_seconds
from recbole_hetcomp.tune.sweep_plan import SweepPlan

_OVERHEAD = 10.0  # seconds that a trial takes to start and to load the data


def sweep_in_words(plan: SweepPlan, teachers: Sequence[str], at_once: int) -> str:
    """Its trials and teachers, and a guess of the time, from what other data took, by their size.

    Args:
        plan: the sweep.
        teachers: names of the teachers that are wanted before the trials; the store may have them.
        at_once: trials that run at a time.
    """
    job, count = plan.job, plan.options.num_samples
    size = size_of_files(job.settings.get("data_path"), job.dataset)
    epochs = job.settings.get("epochs")
    one = student_seconds(epochs, size) if teachers else model_seconds(job.model, epochs, size)
    guesses = {name: model_seconds(name, None, size) for name in teachers}
    seconds = sum(guess for guess in guesses.values() if guess is not None)
    seconds += count * ((one or 0.0) + _OVERHEAD) / max(1, at_once)
    unknown = [name for name, guess in guesses.items() if guess is None] + ([job.model] if one is None else [])
    before = ""
    if teachers:
        before = f"{len(teachers)} teacher{'s' if len(teachers) > 1 else ''}, less those in the store, then "
    return f"plan: {before}{count} trials of {job.model}, {at_once} at a time; at most {in_time(seconds, unknown)}"
