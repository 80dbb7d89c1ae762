"""A sweep's plan: settings, space and options, checked before anything runs, and kept as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recbole.config import Config

from recbole_hetcomp.declared import suggestion
from recbole_hetcomp.files import read_json, write_json
from recbole_hetcomp.recbole_bridge.checkpoint import data_root
from recbole_hetcomp.recbole_bridge.quick_start import build_config
from recbole_hetcomp.trajectories.remote import is_uri, local_copy
from recbole_hetcomp.tune.options import PLAN, SweepOptions
from recbole_hetcomp.tune.schedulers import scheduler, searcher
from recbole_hetcomp.tune.space import Parameter, Space, read_space, shipped_space
from recbole_hetcomp.tune.trial import Job

TRIALS = "trials"  # folder of the trials beside it
OBJECTIVE = "objective"  # the best validation score so far
_PATHS = ("store_dir", "dataset_save_path", "dataloaders_save_path")


@dataclass(frozen=True)
class SweepPlan:
    """All that decides what a sweep does.

    Attributes:
        job: model, data set, settings and space; its resources are set when the machine is known.
        options: how the sweep is run.
        seed: of the search.
        metric: the validation metric that decides.
        bigger: whether a bigger value of it is better.
        epochs: epochs of a trial at most.
        eval_step: epochs between validations.
    """

    job: Job
    options: SweepOptions
    seed: int
    metric: str
    bigger: bool
    epochs: int
    eval_step: int

    @property
    def mode(self) -> str:
        """Ray's word for ``bigger``."""
        return "max" if self.bigger else "min"


def make_plan(
    model: str | None,
    dataset: str | None,
    options: SweepOptions,
    config_files: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> SweepPlan:
    """Check everything that can be checked before anything runs.

    Args:
        model: any model of RecBole or the plugin; None: the settings name it.
        dataset: the data set; None: the settings name it.
        options: how the sweep is run.
        config_files: YAML files with fixed settings.
        settings: fixed settings, which win over the files'.

    Raises:
        ValueError: a setting, the space or an option is not allowed.
        FileNotFoundError: data set or space are not there.
        MissingPackageError: the searcher is not installed.
    """
    config = build_config(model, dataset, config_files, settings)
    uri = config["store_dir"] if is_uri(config["store_dir"]) else None
    if uri is not None:
        config["store_dir"] = config.external_config_dict["store_dir"] = str(local_copy(uri))
    space = read_space(options.space or shipped_space(config["model"]))
    _check_names(space, config)
    if options.space is None:  # what is given is not searched
        given = set(config.external_config_dict)
        space = tuple(parameter for parameter in space if parameter.name.split(".")[0] not in given)
        if not space:
            raise ValueError(f"all settings that the space of {config['model']} searches are given: nothing to search")
    output = options.output or default_output(config["model"], config["dataset"])
    job_settings = {"epochs": config["epochs"], **_portable(config)}  # given, so that no rule makes them more
    plan = SweepPlan(
        job=Job(config["model"], config["dataset"], job_settings, space, store_uri=uri),
        options=SweepOptions(**{**options.plain(), "output": output}),
        seed=config["seed"],
        metric=config["valid_metric"],
        bigger=config["valid_metric_bigger"],
        epochs=_most(space, "epochs", config["epochs"]),
        eval_step=max(1, config["eval_step"] or 1),
    )
    scheduler(space, options, plan.epochs, plan.eval_step)
    searcher(space, options, plan.seed, plan.mode, OBJECTIVE)
    return plan


def default_output(model: str, dataset: str) -> str:
    """The folder of a sweep's results where none is given."""
    return str(Path("results") / dataset / f"tune-{model}")


def portable_settings(
    model: str | None, dataset: str | None, config_files: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """A run's settings as one dict for a process that runs in another folder: files read, paths absolute."""
    return _portable(build_config(model, dataset, config_files, settings))


def _portable(config: Config) -> dict[str, Any]:
    settings = {key: value for key, value in config.external_config_dict.items() if key not in ("model", "dataset")}
    root = data_root(config)
    if root is not None:
        settings["data_path"] = str(Path(root).absolute())
    for name in _PATHS:
        if isinstance(config[name], str) and not is_uri(config[name]):
            settings[name] = str(Path(config[name]).absolute())
    return settings


def _check_names(space: Space, config: Config) -> None:
    known = sorted(config.final_config_dict)
    for parameter in space:
        if parameter.name.split(".")[0] not in known:
            hint = suggestion(parameter.name, known) or ""
            raise ValueError(f"the search space names {parameter.name!r}, which {config['model']} does not have{hint}")


def _most(space: Space, name: str, otherwise: int) -> int:
    found = next((parameter for parameter in space if parameter.name == name), None)
    if found is None:
        return otherwise
    return int(max(found.values) if found.kind == "choice" else found.values[1])


def load_plan(folder: Path, **changed: Any) -> SweepPlan:
    """The plan of the sweep whose results are in a folder.

    Args:
        folder: the folder.
        changed: options that win over the plan's.

    Raises:
        FileNotFoundError: there is none.
        DamagedFileError: it is damaged.
    """
    file = folder / PLAN
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no sweep to go on with: {PLAN} is not there")
    content = read_json(file)
    job = content.pop("job")
    options = {**content.pop("options"), **changed}
    space = tuple(Parameter(**{**entry, "values": tuple(entry["values"])}) for entry in job.pop("space"))
    return SweepPlan(job=Job(**job, space=space), options=SweepOptions(**options), **content)


def check_free(plan: SweepPlan) -> None:
    """Refuse an output folder that holds a sweep, of which a trial has begun.

    Raises:
        FileExistsError: it does.
    """
    folder = plan.options.folder
    begun = plan.options.storage is not None or any((folder / TRIALS).glob("*/"))
    if begun and (folder / PLAN).exists():
        raise FileExistsError(f"{folder} holds a sweep already: --resume goes on with it; or give another --output")


def save_plan(plan: SweepPlan) -> None:
    """Write a plan into its output folder, whole or not at all."""
    plan.options.folder.mkdir(parents=True, exist_ok=True)
    write_json(plan.options.folder / PLAN, {**asdict(plan), "options": plan.options.plain()})
