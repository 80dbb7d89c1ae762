"""The plugin's settings as a checked dataclass, and RecBole Configs for a run's models besides the student.

Every setting is one typed field here, one line in ``properties/model/HetComp.yaml`` (its default) and one name in
``method.md``'s notation.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import recbole.model.general_recommender as general_recommender
import torch
import yaml
from recbole.config import Config
from recbole.utils import ModelType, get_model
from recbole.utils.argument_list import dataset_arguments, evaluation_arguments, general_arguments

from recbole_hetcomp.core import Consensus, Curriculum
from recbole_hetcomp.core.curriculum import PACES
from recbole_hetcomp.files import properties_dir
from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden, data_root, is_plain

PRESETS = ("paper", "authors")
SERVED_LENGTH = 100  # items of a teacher's serving-time list kept at least, for metrics at other cut-offs
LEAST_MEMORY = 16  # MiB

# What part of the memory budget one matrix is: the scores of a block of users are float32 and held up to four times
# (a model's product, a copy without the history, what a selection needs); the lists' computations, which run in blocks
# of their own, hold up to sixteen int64 matrices of one size.
_BYTES_PER_SCORE = 16
_BYTES_PER_ELEMENT = 128
EXACT_UP_TO = 50_000  # items of a catalogue whose rest is not sampled by itself
REST_DRAWS = 8192  # draws a batch on a larger one
# Backbones whose scores are bounded: CML's, minus squared distances in the unit ball, lie in [-4, 0], where no softmax
# over a catalogue can be sharp.
SCORE_SCALES = {"CML": 20.0}

# Keys that say where and how loudly a run works, not what it computes.
PLACE_KEYS = {
    "gpu_id",
    "use_gpu",
    "state",
    "data_path",
    "checkpoint_dir",
    "show_progress",
    "config_file",
    "config_files",
    "save_dataset",
    "dataset_save_path",
    "save_dataloaders",
    "dataloaders_save_path",
    "log_wandb",
    "wandb_project",
    "worker",
    "device",
    "result_dir",
    "store_dir",
    "resume",
    "teacher_rebuild",
    "eval_batch_size",
    "memory_budget_mb",
    "nproc",
    "world_size",
    "ip",
    "port",
    "offset",
}
# Evaluation keys that do not change how a model trains (valid_metric does: it picks the best epoch).
_REPORTING = {"metrics", "topk", "loss_decimal_place", "metric_decimal_place"}
_DATA = (set(dataset_arguments) | set(general_arguments) | set(evaluation_arguments)) - {"config_file"}
_DATA |= {"worker", "shuffle", "benchmark_filename", "metric_decimal_place"}


def read_properties(*parts: str) -> dict[str, Any]:
    """A property file of the plugin as a dict, e.g. ``read_properties("model", "CML")``; empty where there is none."""
    file = properties_dir().joinpath(*parts[:-1], parts[-1] + ".yaml")
    if not file.is_file():
        return {}
    return load_yaml(file)


def load_yaml(file: Path) -> dict[str, Any]:
    """A YAML file of settings as a dict, as RecBole reads it; empty where it holds nothing."""
    return read_yaml(file.read_text(encoding="utf-8")) or {}


def read_yaml(text: str) -> Any:
    """YAML as RecBole reads it: 1e-3 is a number, which it is not in YAML 1.1."""
    return yaml.load(text, Loader=Config._build_yaml_loader(None))


def recbole_model_properties(name: str) -> dict[str, Any]:
    """RecBole's own defaults for one of its models; empty where it has none."""
    import recbole

    file = Path(recbole.__file__).parent / "properties" / "model" / f"{name}.yaml"
    return load_yaml(file) if file.is_file() else {}


def general_models() -> list[str]:
    """Names of all general recommenders that RecBole knows now, the plugin's among them."""
    return sorted(
        name
        for name, value in vars(general_recommender).items()
        if isinstance(value, type) and getattr(value, "type", None) in (ModelType.GENERAL, ModelType.TRADITIONAL)
    )


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name most like ``name``, whatever its case, or None.

    >>> closest("discrepency_gain", ["discrepancy_gain", "K_D"])
    'discrepancy_gain'
    """
    by_lower = {entry.lower(): entry for entry in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """What an error message adds after an unknown name: the closest known one, or nothing.

    >>> suggestion("LightGCM", ["BPR", "LightGCN"])
    "; did you mean 'LightGCN'?"
    """
    near = closest(name, known)
    return f"; did you mean {near!r}?" if near else ""


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    return f"{suggestion(name, known)} Allowed: {', '.join(known)}."


@dataclass(frozen=True)
class HetCompSettings:
    """Every setting of a HetComp run that is the plugin's own (method.md; YAML defaults in properties/model).

    Attributes:
        preset: None, ``paper`` or ``authors``: a set of defaults from properties/preset.
        teachers: names of the teachers, RecBole general recommenders.
        teacher_config: settings of single teachers, name -> {key: value}.
        teacher_rebuild: whether a damaged store entry is trained again (False: an error).
        store_dir: folder of the trajectory store.
        snapshots: E, snapshots kept of each teacher.
        snapshot_spacing: ``even`` in epochs or ``quality``, even in validation score.
        K_prime: K', length of the stored unobserved lists.
        K: length of the unobserved list that is taught.
        K_D: length at which the discrepancy is measured.
        T_r: temperature of the rank's importance, in ranks.
        T_s: temperature of the consistency, in ranks.
        teacher_weights: w_m, one per teacher (None: from their quality).
        quality_weighting: β, how much more a better teacher weighs where ``teacher_weights`` is None: w_m =
            exp(β (q_m / q̄ − 1)) with q_m its validation score and q̄ the teachers' mean; 0 weighs all 1.
        use_consistency: whether the consensus has its consistency term.
        consistency_window: snapshots on each side over which the consistency is measured.
        popularity_discount: γ, how much less popular items count in what is taught: times n_i^−γ, n_i an item's
            training interactions; 0 is the paper's. The ensemble beside the student is never discounted.
        discrepancy_gain: ``teacher`` or ``position`` (method.md §3).
        alpha: α, how much closer a user must have come to go on.
        alpha_decay: factor on α per curriculum step.
        p: epochs between curriculum steps.
        curriculum: ``dynamic`` (method.md §4) or ``none`` (the final consensus from the start).
        pace: ``user`` (each moves on alone) or ``common`` (all together, by the mean of D over users).
        adkt: ``user`` (each switches alone), ``global`` (all with the last one), ``fine`` (the fine loss from the
            start) or ``coarse`` (the coarse loss to the end).
        observed_knowledge: ``separate`` (π⁺ in terms of its own), ``none`` (π⁺ is left out) or ``joint`` (π⁺, then π⁻,
            as one list).
        coarse_weight: weight of the coarse loss, summed over a batch's users.
        fine_weight: weight of the fine loss, summed over a batch's users.
        base_loss_weight: weight of the backbone's own loss.
        score_scale: factor on the student's scores in the losses, the inverse of a softmax's temperature; None decides
            by the backbone. Metrics and serving take the scores as they are.
        user_sampling: ``user`` (each once an epoch) or ``interaction`` (users of a batch of interactions).
        user_batch_size: users in a step with ``user_sampling: user``.
        rest_sample_num: S, items drawn to estimate R_u; 0 means exact, None decides by the catalogue's size.
        rest_sample_shared: whether a batch's users share their S draws.
        student_backbone: RecBole model that the student is.
        student_config: settings of the backbone that win over the run's.
        embedding_init_std: standard deviation of normally drawn initial embeddings (None: the backbone's own).
        compare_no_kd: whether the same student is also trained alone.
        no_kd_config: settings with which it is trained alone.
        result_dir: folder of the results (None: results/<dataset>/<run>).
        resume: whether an interrupted run with the same settings goes on.
        memory_budget_mb: MiB of memory for a block of users' scores and lists; no result depends on it.
    """

    preset: str | None
    teachers: tuple[str, ...]
    teacher_config: Mapping[str, Mapping[str, Any]]
    teacher_rebuild: bool
    store_dir: str
    snapshots: int
    snapshot_spacing: str
    K_prime: int
    K: int
    K_D: int
    T_r: float
    T_s: float
    teacher_weights: tuple[float, ...] | None
    quality_weighting: float
    use_consistency: bool
    consistency_window: int
    popularity_discount: float
    discrepancy_gain: str
    alpha: float
    alpha_decay: float
    p: int
    curriculum: str
    pace: str
    adkt: str
    observed_knowledge: str
    coarse_weight: float
    fine_weight: float
    base_loss_weight: float
    score_scale: float | None
    user_sampling: str
    user_batch_size: int
    rest_sample_num: int | None
    rest_sample_shared: bool
    student_backbone: str
    student_config: Mapping[str, Any]
    embedding_init_std: float | None
    compare_no_kd: bool
    no_kd_config: Mapping[str, Any]
    result_dir: str | None
    resume: bool
    memory_budget_mb: int

    @classmethod
    def names(cls) -> list[str]:
        """Names of all settings."""
        return [field.name for field in fields(cls)]

    @classmethod
    def from_config(cls, config: Config) -> HetCompSettings:
        """Read and check the settings of a RecBole Config.

        Raises:
            ValueError: a value is not allowed; names it and what is.
            TypeError: a value has the wrong type.
        """
        settings = read_settings(cls, config)
        settings._check()
        _at_least("eval_step", config["eval_step"], 1)
        return settings

    def _check(self) -> None:
        _one_of("preset", self.preset, (None, *PRESETS))
        _one_of("snapshot_spacing", self.snapshot_spacing, ("even", "quality"))
        _one_of("discrepancy_gain", self.discrepancy_gain, ("teacher", "position"))
        _one_of("curriculum", self.curriculum, ("dynamic", "none"))
        _one_of("pace", self.pace, PACES)
        _one_of("adkt", self.adkt, ("user", "global", "fine", "coarse"))
        _one_of("observed_knowledge", self.observed_knowledge, ("separate", "none", "joint"))
        _one_of("user_sampling", self.user_sampling, ("user", "interaction"))
        for name in ("snapshots", "K_prime", "K", "K_D", "p", "user_batch_size"):
            _at_least(name, getattr(self, name), 1)
        _at_least("memory_budget_mb", self.memory_budget_mb, LEAST_MEMORY)
        for name in (
            "consistency_window",
            "quality_weighting",
            "popularity_discount",
            "coarse_weight",
            "fine_weight",
            "base_loss_weight",
        ):
            _at_least(name, getattr(self, name), 0)
        if self.rest_sample_num is not None:
            _at_least("rest_sample_num", self.rest_sample_num, 0)
        for name in ("T_r", "T_s", "alpha", "alpha_decay"):
            _above_zero(name, getattr(self, name))
        if self.score_scale is not None:
            _above_zero("score_scale", self.score_scale)
        if self.K_prime < self.K_D:
            raise ValueError(f"K_D={self.K_D} is longer than the stored lists: at most K_prime={self.K_prime}")
        self._check_models()

    def _check_models(self) -> None:
        known = general_models()
        if not self.teachers:
            raise ValueError(f"teachers is empty: name at least one of {', '.join(known)}")
        for name in self.teachers:
            if name not in known or name in NOT_A_TEACHER:
                allowed = [model for model in known if model not in NOT_A_TEACHER]
                raise ValueError(f"unknown teacher {name!r}{_did_you_mean(name, allowed)}")
        if len(set(self.teachers)) < len(self.teachers):
            raise ValueError(f"teachers={list(self.teachers)} names a teacher twice")
        for name in self.teacher_config:
            if name not in self.teachers:
                raise ValueError(f"teacher_config names {name!r}{_did_you_mean(name, self.teachers)}")
        if self.teacher_weights is not None and len(self.teacher_weights) != len(self.teachers):
            raise ValueError(
                f"teacher_weights has {len(self.teacher_weights)} values for {len(self.teachers)} teachers: one each"
            )
        _check_backbone(self.student_backbone)
        self.consensus, self.curriculum_rules  # noqa: B018 (they check their own values)

    @property
    def scale(self) -> float:
        """What the student's scores are multiplied with in its losses."""
        return SCORE_SCALES.get(self.student_backbone, 1.0) if self.score_scale is None else self.score_scale

    @property
    def consensus(self) -> Consensus:
        """Settings of the consensus (method.md §2)."""
        return Consensus(
            T_r=self.T_r,
            T_s=self.T_s,
            teacher_weights=self.teacher_weights,
            window=self.consistency_window,
            use_consistency=self.use_consistency,
        )

    def weigh(self, scores: Sequence[float], bigger: bool = True) -> HetCompSettings:
        """These settings with every teacher's weight decided.

        Args:
            scores: the teachers' validation scores, in their order.
            bigger: whether a bigger score is better.

        Returns:
            Settings whose ``teacher_weights`` are the given ones, or follow from the scores by ``quality_weighting``.
        """
        if self.teacher_weights is not None or not self.quality_weighting:
            return self
        mean = sum(scores) / len(scores)
        sign = 1.0 if bigger else -1.0
        strength = sign * self.quality_weighting / mean if mean else 0.0
        return replace(self, teacher_weights=tuple(math.exp(strength * (score - mean)) for score in scores))

    @property
    def curriculum_rules(self) -> Curriculum:
        """Settings of the curriculum (method.md §4)."""
        return Curriculum(
            alpha=self.alpha,
            alpha_decay=self.alpha_decay,
            K_D=self.K_D,
            T_r=self.T_r,
            discrepancy_gain=self.discrepancy_gain,
            pace=self.pace,
        )

    @property
    def K_observed(self) -> int:
        """K/10, length of the taught list of observed items."""
        return max(1, self.K // 10)

    @property
    def score_elements(self) -> int:
        """Scores of a block of users that fit the memory budget."""
        return _elements(self.memory_budget_mb, _BYTES_PER_SCORE)

    @property
    def block_elements(self) -> int:
        """Elements of one int64 matrix that fit the memory budget beside a block's others: ``core``'s ``budget``."""
        return _elements(self.memory_budget_mb, _BYTES_PER_ELEMENT)

    def check_catalogue(self, n_items: int) -> None:
        """Refuse lists longer than the catalogue.

        Args:
            n_items: I, without RecBole's padding item.

        Raises:
            ValueError: names the setting, its value and the largest allowed one.
        """
        for name in ("K", "K_D"):
            if getattr(self, name) > n_items:
                raise ValueError(
                    f"{name}={getattr(self, name)} is larger than the catalogue: at most {n_items}, the number of items"
                )
        if (self.rest_sample_num or 0) >= n_items:
            raise ValueError(
                f"rest_sample_num={self.rest_sample_num} is not less than the {n_items} items: 0 computes R_u exactly"
            )

    def draws(self, n_items: int) -> int:
        """S for a catalogue: ``rest_sample_num``, or what suits its size; 0 means all items.

        Args:
            n_items: I, without RecBole's padding item.
        """
        if self.rest_sample_num is not None:
            return self.rest_sample_num
        return 0 if n_items <= EXACT_UP_TO else REST_DRAWS

    def plain(self) -> dict[str, Any]:
        """All settings as plain data."""
        return json.loads(json.dumps(asdict(self)))


# Names that are general recommenders but teach nothing of their own.
METHODS = ("HetComp", "NoKD", "RD", "CD", "RRD", "MTD", "CLDRD", "DCD", "UnKD", "RCEKD")
NOT_A_TEACHER = {*METHODS, "TeacherEnsemble", "ImportedRanking", "Random"}

Settings = TypeVar("Settings")


def read_settings(kind: type[Settings], config: Config) -> Settings:
    """The fields of a dataclass of settings from a RecBole Config, each of its declared type.

    Args:
        kind: a dataclass, of all runs' settings or of one method's.
        config: the Config.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: the dataclass refuses a value.
    """
    kinds = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _coerce(name, config[name], declared) for name, declared in kinds.items()})


def score_elements(config: Config) -> int:
    """Scores of a block of users that fit a Config's memory budget, the default one where its model has none."""
    budget = config["memory_budget_mb"]
    if budget is None:
        budget = read_properties("model", "HetComp")["memory_budget_mb"]
    return _elements(budget, _BYTES_PER_SCORE)


def _elements(memory_mb: int, bytes_each: int) -> int:
    return (memory_mb << 20) // bytes_each


def _one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not allowed: one of {', '.join(map(str, allowed))}")


def _at_least(name: str, value: float, least: float) -> None:
    if value < least:
        raise ValueError(f"{name}={value} is not allowed: at least {least}")


def _above_zero(name: str, value: Any) -> None:
    if not value > 0:
        raise ValueError(f"{name}={value} is not allowed: it must be greater than 0")


def _check_backbone(name: str) -> None:
    known = [model for model in general_models() if model not in NOT_A_TEACHER]
    if name not in known:
        raise ValueError(f"unknown student_backbone {name!r}{_did_you_mean(name, known)}")
    if get_model(name).type == ModelType.TRADITIONAL:
        raise ValueError(
            f"student_backbone={name!r} is fitted in one step and cannot be distilled into; use e.g. 'BPR'"
        )


def _coerce(name: str, value: Any, kind: str) -> Any:
    """``value`` as the type that field ``name`` is declared with; text from a command line is read as YAML."""
    if isinstance(value, str) and not kind.startswith("str"):
        value = yaml.safe_load(value)
    if value is None:
        if "None" in kind:
            return None
        if kind.startswith("Mapping"):
            return {}
        raise TypeError(f"{name} is not set: it needs a value of type {kind}")
    base = kind.split(" |")[0]
    try:
        return _CASTS[base](value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}={value!r} is not of type {kind}: {error}") from error


def _integer(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise TypeError("a whole number is needed")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise TypeError("a finite number is needed")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("True or False is needed")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is needed")
    return value


def _names(value: Any) -> tuple[str, ...]:
    entries = [value] if isinstance(value, str) else list(value)
    return tuple(_text(entry) for entry in entries)


def _entries(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("a mapping {name: value} is needed")
    return copy.deepcopy(dict(value))


_CASTS: dict[str, Any] = {
    "int": _integer,
    "float": _number,
    "bool": _flag,
    "str": _text,
    "tuple[str, ...]": _names,
    "tuple[int, ...]": lambda value: tuple(_integer(entry) for entry in _entries(value)),
    "tuple[float, ...]": lambda value: tuple(_number(entry) for entry in value),
    "Mapping[str, Any]": _mapping,
    "Mapping[str, Mapping[str, Any]]": lambda value: {k: _mapping(v) for k, v in _mapping(value).items()},
}


def refuse_misspelt(config: Config, method: type | None = None) -> None:
    """Look at the keys that the user gave and that nothing reads; warn about them.

    Args:
        config: the run's Config.
        method: dataclass of the settings of the run's method, where it has some of its own.

    Raises:
        ValueError: one looks like a misspelling of one of ours; names the closest.
    """
    ours = HetCompSettings.names()
    if method is not None:
        ours += [field.name for field in fields(method)]
    known = set(config.internal_config_dict) | _DATA | PLACE_KEYS | set(ours) | {"model", "dataset", "MODEL_TYPE"}
    known |= {key for keys in config.parameters.values() for key in keys}
    for key in config.external_config_dict:
        if key in known:
            continue
        near = closest(key, ours, cutoff=0.75)
        if near or key.lower().startswith("hetcomp"):
            raise ValueError(f"unknown setting {key!r}{_did_you_mean(key, ours)}")
        logging.getLogger().warning(f"setting {key!r} is read by nobody in this run")


def check_data_files(config: Config) -> None:
    """Refuse a data set that is not there, before RecBole tries to download it.

    Raises:
        FileNotFoundError: names the file that was looked for and what to give.
    """
    if config["dataset"] == "ml-100k" or config["dataset_save_path"] or config["dataloaders_save_path"]:
        return
    folder, name = Path(config["data_path"]), config["dataset"]
    parts = [f"{name}.{part}.inter" for part in config["benchmark_filename"] or []] or [f"{name}.inter"]
    for part in parts:
        if not (folder / part).is_file():
            raise FileNotFoundError(
                f"data set {name!r}: {folder / part} does not exist. Give --data_path=FOLDER with "
                f"FOLDER/{name}/{part} in RecBole's atomic format, or use ml-100k, which ships inside RecBole "
                "(RecBole's own download links answer 'Access Denied')"
            )


def checked_settings(config: Config, method: type | None = None) -> HetCompSettings:
    """The settings of a Config that the user has just given: its keys, its data set and its values checked.

    Args:
        config: the run's Config.
        method: dataclass of the settings of the run's method, where it has some of its own; they are checked too.

    Raises:
        ValueError, TypeError: a key is misspelt, or a value is not allowed.
        FileNotFoundError: the data set is not there.
    """
    refuse_misspelt(config, method)
    check_data_files(config)
    if method is not None:
        read_settings(method, config)
    return HetCompSettings.from_config(config)


def backbone_config(config: Config, settings: HetCompSettings) -> Config:
    """The run's Config as the student's backbone is to see it: under its own name and with ``student_config``."""
    view = copy.copy(config)
    view.final_config_dict = {**config.final_config_dict, **copy.deepcopy(dict(settings.student_config))}
    view.final_config_dict["model"] = settings.student_backbone
    view.model = settings.student_backbone
    view.model_class = get_model(settings.student_backbone)
    _spread_embedding_size(view.final_config_dict, settings.student_backbone, set(config.external_config_dict))
    return view


def _spread_embedding_size(final: dict[str, Any], backbone: str, given: set[str]) -> None:
    """``embedding_size`` also for backbones that name their sizes otherwise (NeuMF's ``mf_embedding_size``)."""
    for key in model_defaults(backbone):
        if key.endswith("_embedding_size") and key not in given:
            final[key] = final["embedding_size"]


def model_defaults(name: str) -> dict[str, Any]:
    """Defaults of a model run by itself: RecBole's own, or the plugin's for its models."""
    return recbole_model_properties(name) or read_properties("model", name)


def companion_config(config: Config, name: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Config:
    """Config of another model trained in a run: the run's data, evaluation and device, and nothing else of it.

    Neither the run's training settings nor the process's command line reach it.

    Args:
        config: the run's Config.
        name: the model.
        given: settings for this model, which win.
        defaults: settings that win over RecBole's defaults only.

    Raises:
        ValueError: a key in ``given`` is one that the model does not have, and names the closest one; or the model
            would never be validated.
    """
    kept = {key: config[key] for key in (*_DATA, "memory_budget_mb") if key in config and is_plain(config[key])}
    root = data_root(config)
    kept.pop("data_path", None)
    if root is not None:
        kept["data_path"] = root
    with command_line_hidden():
        made = Config(model=name, dataset=config["dataset"], config_dict={**kept, **defaults, **given})
    known = sorted(set(made.internal_config_dict) | set(defaults) | set(kept))
    for key in given:
        if key not in known:
            hint = suggestion(key, known) or f". Allowed: {', '.join(known)}."
            raise ValueError(f"unknown setting {key!r} for {name}{hint}")
    if made["eval_step"] < 1:
        raise ValueError(
            f"eval_step={made['eval_step']} for {name} is not allowed: at least 1, a snapshot needs a validation"
        )
    made["device"] = config["device"]
    return made


def teacher_config(config: Config, settings: HetCompSettings, name: str) -> Config:
    """Config with which a teacher of the run trains: properties/model/<name>.yaml, then ``teacher_config[name]``."""
    return companion_config(config, name, settings.teacher_config.get(name, {}), read_properties("model", name))


def no_kd_config(config: Config, settings: HetCompSettings) -> Config:
    """Config with which the student's backbone trains alone, at the student's size."""
    size: dict[str, Any] = {"embedding_size": config["embedding_size"]}
    for key in model_defaults(settings.student_backbone):
        if key in config.external_config_dict:
            size[key] = config[key]
    _spread_embedding_size(size, settings.student_backbone, set(config.external_config_dict))
    given = {**settings.student_config, **settings.no_kd_config}
    return companion_config(config, settings.student_backbone, given, size)


def training_identity(config: Config) -> dict[str, Any]:
    """All that decides what a model learns on given data, as plain data: its settings less places and reports."""
    data = set(dataset_arguments) | {key for key in config.parameters["Dataset"]}
    skipped = PLACE_KEYS | _REPORTING | data | {"eval_args", "dataset"}
    return {
        key: value
        for key, value in sorted(config.final_config_dict.items())
        if (key not in skipped and is_plain(value) and not key.endswith("neg_sample_args"))
        or key == "train_neg_sample_args"
    }


def run_key(config: Config, fingerprint: str, companions: Sequence[Mapping[str, Any]]) -> str:
    """Short name of a run, the same whenever the same settings meet the same data and the same other models."""
    identity = {
        "data": fingerprint,
        "settings": training_identity(config),
        "companions": companions,
        "device": torch.device(config["device"]).type,
    }
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
