"""What runs in a worker: one trial of a sweep, and the test of the winner."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import recbole.quick_start.quick_start as recbole_quick_start
import torch
from recbole.utils import get_model

from recbole_hetcomp import ray_api
from recbole_hetcomp.files import find_json, read_json, write_json
from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
from recbole_hetcomp.student.model import DistilledStudent
from recbole_hetcomp.trajectories import remote as mirror
from recbole_hetcomp.tune.space import Space, decoded, merged
from recbole_hetcomp.tune.trial_trainer import Revalidated, ValidationDiffersError, observing, trainers_with

MODEL_FOLDER = "model"
FINISHED_FILE = "finished.json"
LAST_FILE = "last.json"
FAILED_FILE = "failed.json"
LOG_FILE = "trial.log"


_DETERMINISTIC = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


class TrialFailedError(RuntimeError):
    """A trial would fail again as it did before; the message is that of its first error."""


@dataclass(frozen=True)
class Job:
    """What all trials of a sweep share; plain data, so that any worker can be sent it.

    Attributes:
        model: the model's name.
        dataset: the data set's name.
        settings: the fixed settings; their paths are absolute.
        space: the searched ones.
        cpus: processors of a trial, and the threads that torch uses.
        gpus: GPUs of a trial; may be a fraction.
        store_uri: the trajectory store, of which ``store_dir`` is each node's copy; None: ``store_dir`` is the store.
    """

    model: str
    dataset: str
    settings: Mapping[str, Any]
    space: Space = field(default=())
    cpus: float = 1.0
    gpus: float = 0.0
    store_uri: str | None = None

    def point(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The searched settings of a trial by name, as RecBole gets them."""
        return decoded(self.space, config)

    def at(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """All settings of a trial."""
        return merged(self.settings, self.point(config))


def device_settings(gpus: float) -> dict[str, Any]:
    """Settings that keep RecBole to the devices that Ray has given this process: it would take GPU 0 otherwise."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return {"use_gpu": gpus > 0, "gpu_id": visible if gpus > 0 else ""}


def use_threads(cpus: float) -> None:
    """Let torch use as many threads as processors were asked for."""
    torch.set_num_threads(max(1, int(cpus)))


def train_trial(config: dict[str, Any], job: Job) -> None:
    """Train one trial and report each of its validations; never looks at the test split.

    The trial's model and the state to go on from lie in the checkpoint that Ray keeps: a trial whose worker or node
    is lost goes on from its last validation, one that had ended is not run again.

    Args:
        config: the point that Ray drew.
        job: what all trials share.
    """
    trial = ray_api.trial_folder()
    finished, folder = trial / FINISHED_FILE, trial / MODEL_FOLDER
    ended = find_json(finished)
    if ended is not None:
        ray_api.report(ended)
        return
    _refuse_again(trial / FAILED_FILE)
    _restore(folder)
    use_threads(job.cpus)
    last: dict[str, Any] = {}

    def tell(metrics: dict[str, Any]) -> None:
        last.clear()
        last.update(metrics, finished=False)
        write_json(folder / LAST_FILE, last)
        ray_api.report(last, folder)

    places = {"checkpoint_dir": str(folder), "show_progress": False, **device_settings(job.gpus)}
    if issubclass(get_model(job.model), DistilledStudent):
        places.update(result_dir=str(folder), resume=True, compare_no_kd=False)
    store = Path(job.settings.get("store_dir") or ".")
    mirror.fetch(job.store_uri, store)
    with logging_to(trial / LOG_FILE), trainers_with(observing, folder=folder, tell=tell):
        try:
            _run(job, {**job.at(config), **places})
        except _DETERMINISTIC as error:
            write_json(trial / FAILED_FILE, {"error": f"{type(error).__name__}: {error}"})
            raise
    mirror.publish(job.store_uri, store)
    if not last:
        last.update(_remembered(folder))
    last.update(finished=True)
    write_json(finished, last)
    ray_api.report(last)


def _refuse_again(file: Path) -> None:
    """Ray tries a failed trial again, which helps where a worker or a node was lost; the same error comes again."""
    failed = find_json(file)
    if failed is not None:
        raise TrialFailedError(failed["error"])


def _restore(folder: Path) -> None:
    """Make the folder what it was at the checkpoint from which Ray goes on, empty where there is none."""
    shutil.rmtree(folder, ignore_errors=True)
    with ray_api.restored_folder() as restored:
        if restored is None:
            folder.mkdir(parents=True)
        else:
            shutil.copytree(restored, folder, ignore=shutil.ignore_patterns(".*"))


def _remembered(folder: Path) -> dict[str, Any]:
    """The last report of a trial that had no epoch left when it was taken up again."""
    return read_json(folder / LAST_FILE)


def _run(job: Job, settings: dict[str, Any]) -> dict[str, Any]:
    with command_line_hidden():
        return recbole_quick_start.run_recbole(model=job.model, dataset=job.dataset, config_dict=settings)


@contextmanager
def logging_to(file: Path) -> Iterator[None]:
    """Send this process's log to a file; RecBole, which sets up a logger of its own only where there is none, too."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s  %(message)s"))
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    try:
        yield
    except Exception:  # a scheduler's stop is none
        logging.getLogger().exception("the trial has failed")
        raise
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        handler.close()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new working directory: RecBole writes logs into the current one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="recbole-hetcomp-") as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def evaluate_model(
    job: Job, config: dict[str, Any], models: list[bytes], expected: dict[str, float]
) -> dict[str, float]:
    """Test a trial's best model, once it validates as the trial did; runs in a worker.

    Args:
        job: what all trials share.
        config: the trial's point.
        models: contents of checkpoint files, the first that validates as expected counts.
        expected: the trial's validation metrics.

    Returns:
        The test metrics.

    Raises:
        ValidationDiffersError: none is the model that the trial had.
    """
    use_threads(job.cpus)
    with scratch_folder() as scratch, logging_to(scratch / LOG_FILE):
        places = {"checkpoint_dir": str(scratch), "show_progress": False, **device_settings(job.gpus)}
        errors: list[ValidationDiffersError] = []
        for number, model in enumerate(models):
            file = scratch / f"candidate-{number}.pth"
            file.write_bytes(model)
            try:
                with trainers_with(lambda trainer: Revalidated, file=file, expected=expected):
                    result = _run(job, {**job.at(config), **places})
            except ValidationDiffersError as error:
                errors.append(error)
            else:
                return {name: float(value) for name, value in result["test_result"].items()}
    raise errors[0] if errors else ValidationDiffersError("there is no saved model")
