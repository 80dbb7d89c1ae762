"""How a sweep is run: every option once, with its default and its check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from recbole_hetcomp.declared import Settings, setting, settings_group

PLAN = "sweep.json"
"""In the output folder: what a sweep is made from; where it is, a sweep has begun."""
TRIALS_PER_GPU = 4  # where nothing else is asked for: students are small
CPUS_OF_GPU_TRIAL = 4  # at most, likewise


@settings_group
class SweepOptions(Settings):
    """Options of a sweep; settings of the model are not among them."""

    output: Optional[str] = setting(None, "Folder of the results; None: results/<dataset>/tune-<model>.")
    space: Optional[str] = setting(None, "Search space, YAML or RecBole's .hyper; None: properties/tune/<model>.yaml.")
    search: str = setting("random", "How points are chosen.", one_of=("random", "grid", "optuna", "hyperopt"))
    scheduler: str = setting(
        "asha",
        "How bad trials are stopped: asha (stops the worse part early), median, pbt (population based) or none.",
        one_of=("asha", "median", "pbt", "none"),
    )
    num_samples: int = setting(16, "Trials; a grid has as many as it has points.", at_least=1)
    max_concurrent: Optional[int] = setting(None, "Trials at a time; None: as many as there is room for.", at_least=1)
    cpus_per_trial: Optional[float] = setting(
        None, "Processors and threads of a trial; None: 1, more beside GPUs.", above=0
    )
    gpus_per_trial: Optional[float] = setting(
        None, "GPUs of a trial, e.g. 0.5 or 0; None: 0.25 where there is one.", at_least=0
    )
    cpus_per_teacher: Optional[float] = setting(None, "Processors of a teacher; None: a trial's.", above=0)
    gpus_per_teacher: Optional[float] = setting(
        None, "GPUs of a teacher, may be a fraction; None: a trial's.", at_least=0
    )
    time_budget: Optional[float] = setting(None, "Seconds after which the trials end; None: none.", above=0)
    grace_epochs: Optional[int] = setting(None, "Epochs before a trial may be stopped; None: 1/27 of them.", at_least=1)
    reduction_factor: float = setting(3.0, "ASHA goes on with one in so many trials.", above=1)
    max_failures: int = setting(3, "How often a lost or crashed trial is taken up.", at_least=0)
    address: Optional[str] = setting(None, "auto or HOST:PORT of a Ray cluster; None: Ray on this machine.")
    storage: Optional[str] = setting(None, "Path or URI where Ray keeps the trials; None: OUTPUT/trials.")
    dashboard: bool = setting(False, "Whether a local Ray has its dashboard.")

    def check(self) -> None:
        """Refuse what is neither a fraction of a GPU nor a number of them."""
        super().check()
        for name in ("gpus_per_trial", "gpus_per_teacher"):
            value = getattr(self, name)
            if value is not None and value > 1 and value != int(value):
                raise ValueError(f"{name}={value} is not allowed: a fraction below 1, or a whole number")

    @property
    def folder(self) -> Path:
        """The results' folder."""
        assert self.output is not None, "a plan has one"
        return Path(self.output).absolute()

    @property
    def storage_path(self) -> str:
        """Where Ray keeps the trials: an absolute path, or a URI."""
        if self.storage is None:
            return str(self.folder / "trials")
        return self.storage if "://" in self.storage else str(Path(self.storage).absolute())


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

    >>> trial_resources(SweepOptions(), {"CPU": 2.0})
    Resources(cpus=1.0, gpus=0.0)
    >>> trial_resources(SweepOptions(), {"CPU": 32.0, "GPU": 4.0})
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
