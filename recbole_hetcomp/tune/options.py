"""How a sweep is run: every option once, with its default and its check."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

SEARCHES = ("random", "grid", "optuna", "hyperopt")
SCHEDULERS = ("asha", "median", "pbt", "none")
TRIALS_PER_GPU = 4  # where nothing else is asked for: students are small
CPUS_OF_GPU_TRIAL = 4  # at most, likewise


@dataclass(frozen=True)
class SweepOptions:
    """Options of a sweep; settings of the model are not among them.

    Attributes:
        output: folder of the results.
        space: file of the search space (None: the one that comes with the package).
        search: ``random``, ``grid``, ``optuna`` or ``hyperopt``.
        scheduler: ``asha`` (stops the worse part of the trials early), ``median``, ``pbt`` or ``none``.
        num_samples: trials; a grid has as many as it has points.
        max_concurrent: trials at a time (None: as many as there is room for).
        cpus_per_trial: processors of a trial, and threads of torch (None: from the machine).
        gpus_per_trial: GPUs of a trial, may be a fraction (None: from the machine).
        cpus_per_teacher: processors of a teacher (None: a trial's).
        gpus_per_teacher: GPUs of a teacher (None: a trial's).
        time_budget: seconds after which the sweep ends (None: none).
        grace_epochs: epochs that a trial gets before it may be stopped (None: from the number of epochs).
        reduction_factor: ASHA goes on with one in this many trials.
        max_failures: how often a trial is taken up again after a crash or a lost worker.
        address: ``auto`` or HOST:PORT of a Ray cluster (None: Ray on this machine).
        storage: path or URI where Ray keeps the trials (None: ``output``/trials).
        dashboard: whether a local Ray has its dashboard.
    """

    output: str
    space: str | None = None
    search: str = "random"
    scheduler: str = "asha"
    num_samples: int = 16
    max_concurrent: int | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    cpus_per_teacher: float | None = None
    gpus_per_teacher: float | None = None
    time_budget: float | None = None
    grace_epochs: int | None = None
    reduction_factor: float = 3.0
    max_failures: int = 3
    address: str | None = None
    storage: str | None = None
    dashboard: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: one is not allowed; names it and what is.
        """
        for name, allowed in (("search", SEARCHES), ("scheduler", SCHEDULERS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r} is not allowed: one of {', '.join(allowed)}")
        for name, least in (
            ("num_samples", 1), ("max_concurrent", 1), ("grace_epochs", 1), ("max_failures", 0),
            ("gpus_per_trial", 0), ("gpus_per_teacher", 0),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value} is not allowed: at least {least}")
        for name, above in (
            ("time_budget", 0), ("cpus_per_trial", 0), ("cpus_per_teacher", 0), ("reduction_factor", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not value > above:
                raise ValueError(f"{name}={value} is not allowed: it must be greater than {above}")
        for name in ("gpus_per_trial", "gpus_per_teacher"):
            value = getattr(self, name)
            if value is not None and value > 1 and value != int(value):
                raise ValueError(f"{name}={value} is not allowed: a fraction below 1, or a whole number")

    @property
    def folder(self) -> Path:
        """The results' folder."""
        return Path(self.output).absolute()

    @property
    def storage_path(self) -> str:
        """Where Ray keeps the trials: an absolute path, or a URI."""
        if self.storage is None:
            return str(self.folder / "trials")
        return self.storage if "://" in self.storage else str(Path(self.storage).absolute())

    def plain(self) -> dict[str, Any]:
        """All options as plain data."""
        return asdict(self)

    @classmethod
    def names(cls) -> list[str]:
        """Names of all options."""
        return [field.name for field in fields(cls)]


@dataclass(frozen=True)
class Resources:
    """What a task gets of a machine.

    Attributes:
        cpus: processors.
        gpus: GPUs; may be a fraction.
    """

    cpus: float
    gpus: float


def trial_resources(options: SweepOptions, machine: dict[str, float]) -> Resources:
    """What a trial gets: what was asked for, otherwise one processor, and a quarter of a GPU where there is one.

    Args:
        options: the sweep's.
        machine: the cluster's resources as Ray names them.

    >>> trial_resources(SweepOptions("out"), {"CPU": 2.0})
    Resources(cpus=1.0, gpus=0.0)
    >>> trial_resources(SweepOptions("out"), {"CPU": 32.0, "GPU": 4.0})
    Resources(cpus=2.0, gpus=0.25)
    """
    has = machine.get("GPU", 0.0)
    gpus = options.gpus_per_trial
    if gpus is None:
        gpus = 1 / TRIALS_PER_GPU if has else 0.0
    cpus = options.cpus_per_trial
    if cpus is None:
        beside = machine.get("CPU", 1.0) // (has / gpus) if gpus and has else 1.0
        cpus = float(min(CPUS_OF_GPU_TRIAL, max(1, beside)))
    return Resources(float(cpus), float(gpus))


def teacher_resources(options: SweepOptions, trial: Resources) -> Resources:
    """What a teacher gets: what was asked for, otherwise the same as a trial.

    Raises:
        ValueError: only one of teachers and trials would use a GPU: their trajectories are not each other's.
    """
    cpus = trial.cpus if options.cpus_per_teacher is None else options.cpus_per_teacher
    gpus = trial.gpus if options.gpus_per_teacher is None else options.gpus_per_teacher
    if bool(gpus) != bool(trial.gpus):
        raise ValueError(
            f"gpus_per_teacher={gpus} beside gpus_per_trial={trial.gpus} is not allowed: both or neither use a GPU, "
            "since a teacher trained on the other device is another entry of the store"
        )
    return Resources(float(cpus), float(gpus))


def check_room(name: str, wanted: Resources, nodes: list[dict[str, float]]) -> None:
    """Refuse what no node can give: a task would wait for ever.

    Raises:
        ValueError: names what is wanted and what there is.
    """
    if not any(wanted.cpus <= node.get("CPU", 0) and wanted.gpus <= node.get("GPU", 0) for node in nodes):
        have = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise ValueError(f"{name} wants {wanted.cpus:g} CPUs and {wanted.gpus:g} GPUs; the nodes have: {have}")
