"""Which values RecBole's own settings may have: RecBole checks few of them, and some only after hours of training.

Its defaults stay where they are, in its property files; only what a user gives is looked at. Settings of single models
are held against the type of the model's own default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Optional

from recbole.evaluator.register import metric_types
from recbole.utils import EvaluatorType, InputType, ModelType

from recbole_hetcomp.declared import Declaration, convert, did_you_mean, suggestion
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.values import read_literal, read_value

_WHOLE = Declaration("", at_least=0)
_SIZE = Declaration("", at_least=1, at_most=2**31 - 1)
_STRENGTH = Declaration("", at_least=0, at_most=1e6)
_SHARE = Declaration("", at_least=0, at_most=1)
_ANY = Declaration("")

_RULES: dict[str, tuple[Any, Declaration]] = {
    "epochs": (int, Declaration("", at_least=0, at_most=10**7)),
    "train_batch_size": (int, _SIZE),
    "eval_batch_size": (int, _SIZE),
    "learner": (str, Declaration("", one_of=("adam", "sgd", "adagrad", "rmsprop", "sparse_adam"))),
    "learning_rate": (float, Declaration("", above=0, at_most=100)),
    "weight_decay": (float, _STRENGTH),
    "eval_step": (int, Declaration("", at_least=0, at_most=10**7)),
    "stopping_step": (int, Declaration("", at_least=0, at_most=10**7)),
    "clip_grad_norm": (Optional[dict[str, Any]], _ANY),
    "loss_decimal_place": (int, Declaration("", at_least=0, at_most=20)),
    "metric_decimal_place": (int, Declaration("", at_least=0, at_most=20)),
    "enable_amp": (bool, _ANY),
    "enable_scaler": (bool, _ANY),
    "seed": (int, Declaration("", at_least=0, at_most=2**32 - 1)),
    "reproducibility": (bool, _ANY),
    "state": (str, Declaration("", one_of=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))),
    "use_gpu": (bool, _ANY),
    "show_progress": (bool, _ANY),
    "save_dataset": (bool, _ANY),
    "save_dataloaders": (bool, _ANY),
    "log_wandb": (bool, _ANY),
    "shuffle": (bool, _ANY),
    "worker": (int, Declaration("", at_least=0, at_most=1024)),
    "repeatable": (bool, _ANY),
    "topk": (tuple[int, ...], _ANY),
    "metrics": (tuple[str, ...], _ANY),
    "valid_metric": (str, _ANY),
    "valid_metric_bigger": (bool, _ANY),
    "data_path": (str, _ANY),
    "checkpoint_dir": (str, _ANY),
    "dataset_save_path": (Optional[str], _ANY),
    "dataloaders_save_path": (Optional[str], _ANY),
    "wandb_project": (str, _ANY),
    "embedding_size": (int, _SIZE),
    "MAX_ITEM_LIST_LENGTH": (int, _SIZE),
    "nproc": (int, _SIZE),
}
_SAMPLING: dict[str, tuple[Any, Declaration]] = {
    "distribution": (str, Declaration("", one_of=("uniform", "popularity", "none"))),
    "sample_num": (int, _SIZE),
    "alpha": (float, Declaration("", at_least=0)),
    "dynamic": (bool, _ANY),
    "candidate_num": (int, _WHOLE),
}
_CLIPPING: dict[str, tuple[Any, Declaration]] = {
    "max_norm": (float, Declaration("", above=0)),
    "norm_type": (float, Declaration("", above=0)),
    "error_if_nonfinite": (bool, _ANY),
    "foreach": (Optional[bool], _ANY),
}
_PARTS = {"train_neg_sample_args": _SAMPLING, "clip_grad_norm": _CLIPPING}
_TEXTS = {name for name, (kind, _) in _RULES.items() if kind in (str, Optional[str])} | set(
    HetCompSettings.text_kinds()
)
_READ_BY_US = set(HetCompSettings.names()) - set(_RULES)  # checked where they are read
# Settings of single models, by what their names have in common: the first that fits counts.
_NAMED = (
    (re.compile(r"dropout|_prob$|^keep_rate$|^mask_ratio$"), float, _SHARE),
    (re.compile(r"^(reg|l2|l1)_|_reg$|reg_weight|^(ssl|cl)_weight$"), float, _STRENGTH),
    (re.compile(r"(embedding|hidden|inner|latent|attention|factor)_(size|dim)(ension)?$|^n_heads$"), int, _SIZE),
    (re.compile(r"^(n|num)_layers$|_num$|^(n|num)_"), int, Declaration("", at_most=2**31 - 1)),
)
# RecBole's models that learn from whole users and take no negative items, though they say that they take pairs.
_OF_WHOLE_USERS = {
    "MultiDAE", "MultiVAE", "MacridVAE", "CDAE", "ENMF", "RaCT", "RecVAE", "DiffRec", "LDiffRec",
}  # fmt: skip
_SPLITS = {"RS", "LS"}
_GROUPS, _ORDERS = ("user", "none", None), ("RO", "TO")
_MODE = re.compile(r"full|labeled|(?:uni|pop)[1-9][0-9]*")
_LEAVE_ONE_OUT = ("valid_and_test", "valid_only", "test_only")


def check_recbole_settings(given: Mapping[str, Any], final: Mapping[str, Any], internal: Mapping[str, Any]) -> None:
    """Refuse what makes no sense, before RecBole looks at it.

    Args:
        given: what the user gave.
        final: all settings of the run.
        internal: the defaults of the run's model.

    Raises:
        ValueError, TypeError: names the setting, its value and what is allowed.
    """
    _check_given({name: value for name, value in given.items() if name not in _READ_BY_US}, internal)
    _check_metrics(final)


def check_negatives(model: str, model_class: Any, final: Mapping[str, Any]) -> None:
    """Refuse a model of RecBole's that learns from pairs with a negative item, and gets none.

    Raises:
        ValueError: names the setting and what is allowed.
    """
    sampling = final.get("train_neg_sample_args")
    none = sampling is None or sampling.get("distribution") == "none"
    pairs = getattr(model_class, "input_type", None) == InputType.PAIRWISE and model_class.type == ModelType.GENERAL
    if none and pairs and model not in _OF_WHOLE_USERS and model_class.__module__.startswith("recbole.model."):
        raise ValueError(
            f"train_neg_sample_args={sampling!r} is not allowed for {model}, which learns from a negative item for "
            "each positive one: e.g. {distribution: uniform, sample_num: 1}"
        )


def recbole_setting(name: str) -> bool:
    """Whether RecBole reads a setting for every model."""
    return name in _RULES or name in _PARTS or name == "eval_args"


def check_model_settings(name: str, given: Mapping[str, Any], internal: Mapping[str, Any]) -> None:
    """The same for settings that a model is given inside of another's, ``name`` says where.

    Raises:
        ValueError, TypeError: as above.
    """
    try:
        _check_given(given, internal)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from error


def as_given(name: str, value: Any) -> Any:
    """What a Config keeps of a value: text becomes what it names, unless the setting is a text.

    >>> as_given("epochs", "10"), as_given("result_dir", "2024"), as_given("result_dir", "None")
    (10, '2024', None)
    >>> as_given("metrics", "[Recall, NDCG]")
    ['Recall', 'NDCG']
    """
    if not is_text(name):
        if not isinstance(value, str):
            return value
        return read_value(value) if value.lstrip().startswith(("[", "{")) else read_literal(value)
    if isinstance(value, date):  # YAML makes one of 2024-11-25
        return value.isoformat()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None if isinstance(value, str) and value in ("None", "null", "~") else value


def is_text(name: str) -> bool:
    """Whether a setting holds a text."""
    return name in _TEXTS


def _check_given(given: Mapping[str, Any], internal: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name in _PARTS and value:
            _check_part(name, value, _PARTS[name])
        elif name in _RULES:
            _check(name, value, *_RULES[name])
        elif name == "eval_args":
            _check_eval_args(value)
        else:
            _check_like(name, value, internal.get(name))


def _check(name: str, value: Any, kind: Any, declaration: Declaration) -> None:
    read = convert(name, value, kind)
    why = None if read is None else declaration.refusal(read)
    if why is not None:
        raise ValueError(f"{name}={value!r} is not allowed: {why}")


def _check_like(name: str, value: Any, default: Any) -> None:
    """A model's own setting: a number where its default is one, and so on; nothing is known where that is None."""
    if isinstance(value, str):
        value = read_literal(value)
    if isinstance(default, bool):
        if value not in (0, 1):
            raise TypeError(f"{name}={value!r} is not allowed: True or False is needed")
        return
    if isinstance(default, (int, float)) and not isinstance(value, (list, tuple)):
        for pattern, kind, declaration in _NAMED:
            if pattern.search(name):
                wanted = kind if kind is float or isinstance(default, int) else float
                _check(name, value, wanted, declaration)
                return
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise TypeError(f"{name}={value!r} is not allowed: a finite number is needed, as {default!r} is")
    elif isinstance(default, (list, tuple)) and default and all(type(entry) is int for entry in default):
        entries = value if isinstance(value, (list, tuple)) else [value]
        if not all(type(entry) is int for entry in entries):
            raise TypeError(f"{name}={value!r} is not allowed: a list of whole numbers is needed, as {default!r} is")
        if "size" in name and min(entries, default=1) < 1:
            raise ValueError(f"{name}={value!r} is not allowed: sizes of at least 1")
    elif isinstance(default, Mapping) and not (value is None or isinstance(value, Mapping)):
        raise TypeError(f"{name}={value!r} is not allowed: a mapping {{name: value}} is needed")


def _check_part(name: str, value: Any, rules: Mapping[str, tuple[Any, Declaration]]) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}={value!r} is not allowed: a mapping {{name: value}} is needed")
    for key, entry in value.items():
        if key not in rules:
            raise ValueError(f"unknown setting {key!r} in {name}{did_you_mean(str(key), list(rules))}")
        _check(f"{name}.{key}", entry, *rules[key])


def _check_eval_args(value: Any) -> None:
    parts = ("split", "group_by", "order", "mode")
    if not isinstance(value, Mapping):
        raise TypeError(f"eval_args={value!r} is not allowed: a mapping of {', '.join(parts)} is needed")
    for key in value:
        if key not in parts:
            raise ValueError(f"unknown setting {key!r} in eval_args{did_you_mean(str(key), parts)}")
    if "split" in value:
        _check_split(value["split"])
    group = value.get("group_by")
    if group not in _GROUPS:
        raise ValueError(f"eval_args.group_by={group!r} is not allowed: user or none")
    if value.get("order", "RO") not in _ORDERS:
        raise ValueError(f"eval_args.order={value['order']!r} is not allowed: RO (random) or TO (by time)")
    modes = value.get("mode", "full")
    for phase, mode in (modes if isinstance(modes, Mapping) else {"valid": modes}).items():
        if phase not in ("valid", "test"):
            raise ValueError(f"unknown setting {phase!r} in eval_args.mode; allowed: valid, test")
        if not (isinstance(mode, str) and _MODE.fullmatch(mode)):
            raise ValueError(f"eval_args.mode={mode!r} is not allowed: full, labeled, or e.g. uni100, pop100")


def _check_split(split: Any) -> None:
    if split is None:
        return
    if not isinstance(split, Mapping) or len(split) != 1 or not set(split) <= _SPLITS:
        raise ValueError(f"eval_args.split={split!r} is not allowed: {{RS: [0.8, 0.1, 0.1]}} or {{LS: valid_and_test}}")
    (kind, value), *_ = split.items()
    if kind == "LS":
        if value not in _LEAVE_ONE_OUT:
            raise ValueError(f"eval_args.split.LS={value!r} is not allowed: one of {', '.join(_LEAVE_ONE_OUT)}")
        return
    shares = convert("eval_args.split.RS", value, tuple[float, ...])
    if len(shares) not in (2, 3) or min(shares) < 0 or shares[0] <= 0:
        raise ValueError(
            f"eval_args.split.RS={value!r} is not allowed: shares of training, validation and test, the first above 0"
        )


def _check_metrics(final: Mapping[str, Any]) -> None:
    metrics = convert("metrics", final["metrics"], tuple[str, ...])
    if not metrics:
        raise ValueError("metrics is empty: name at least one")
    for metric in metrics:
        if metric.lower() not in metric_types:
            raise ValueError(f"metrics names the unknown {metric!r}{suggestion(metric, metric_types)}; allowed: "
                             f"{', '.join(sorted(metric_types))}")  # fmt: skip
    kinds = {metric_types[metric.lower()] for metric in metrics}
    if len(kinds) > 1:
        raise ValueError(f"metrics={list(metrics)} is not allowed: ranking and value metrics do not go together")
    ranking = kinds == {EvaluatorType.RANKING}
    topk = cutoffs(final)
    check_computed(final, [f"{metric}@{k}" for metric in metrics for k in topk] if ranking else metrics)


def cutoffs(given: Mapping[str, Any], place: str = "") -> tuple[int, ...]:
    """The lengths at which lists are measured, ``topk``.

    Args:
        given: settings.
        place: where they stand, for messages, with a dot behind it.

    Raises:
        ValueError, TypeError: they are not positive whole numbers.
    """
    found = convert(f"{place}topk", given["topk"], tuple[int, ...])
    if not found or min(found) < 1:
        raise ValueError(f"{place}topk={given['topk']!r} is not allowed: whole numbers of at least 1")
    return found


def check_computed(given: Mapping[str, Any], computed: Sequence[str], place: str = "") -> None:
    """The metric that decides, ``valid_metric``, must be among those that are computed.

    Args:
        given: settings.
        computed: these metrics' names, such as ``Recall@10``.
        place: as of :func:`cutoffs`.

    Raises:
        ValueError: it is not.
    """
    wanted = given["valid_metric"]
    if not isinstance(wanted, str) or wanted.lower() not in (name.lower() for name in computed):
        raise ValueError(
            f"{place}valid_metric={wanted!r} is not computed: {place}metrics and {place}topk give "
            f"{', '.join(computed)}; give {place}valid_metric as one of these"
        )
