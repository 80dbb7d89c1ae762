"""What models that are no general recommenders learn from: the run's training split as sequences, with features, or
with a knowledge graph.

RecBole loads the data set once more, in the way of the model's type; of it the interactions of the run's training split
are kept, so no model sees what it is judged by. Such a data set may number users and items otherwise (items that only
features or links name): both are translated by their external ids.
"""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import recbole.data.dataset
import recbole.data.utils
import torch
from numpy.typing import NDArray
from recbole.config import Config
from recbole.data.dataset import Dataset, KnowledgeBasedDataset, SequentialDataset
from recbole.data.interaction import Interaction
from recbole.sampler import KGSampler, RepeatableSampler, Sampler
from recbole.utils import FeatureSource, FeatureType, ModelType, get_model
from torch import Tensor

from recbole_hetcomp.files import sha256_of
from recbole_hetcomp.recbole_bridge.property_files import recbole_defaults
from recbole_hetcomp.recbole_bridge.scoring import (
    OWN_SCORES,
    PAIRS_AT_ONCE,
    PAIRS_AT_ONCE_ON_GPU,
    device_of,
    without_sigmoid,
)

OWN_DATA = (ModelType.SEQUENTIAL, ModelType.CONTEXT, ModelType.KNOWLEDGE)
"""Types of models that do not learn from RecBole's plain interactions."""

USERS_AT_ONCE = 512  # whose sequences a model encodes at a time
_FEATURES_WITH_SEQUENCES = ("DIN", "DIEN")
_KEPT_FILES = ("inter", "user", "item", "kg", "link", "ent")


# -- settings ---------------------------------------------------------------------------------------------------------


def needs_own_data(name: str) -> bool:
    """Whether a model, by its name, is no general recommender."""
    return get_model(name).type in OWN_DATA


def own_settings(config: Config, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with which a data set of a model's own kind is loaded, where RecBole's or the run's would not do.

    Args:
        config: the run's Config.
        name: the model.
        given: settings that somebody gave for it.
    """
    kind = get_model(name).type
    if kind not in OWN_DATA:
        return {}
    found: dict[str, Any] = {
        # who has no features keeps its interactions
        "filter_inter_by_user_or_item": False,
        "load_col": _columns(config, name, kind),
        "train_neg_sample_args": {
            "distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0,
        },
    }  # fmt: skip
    if kind == ModelType.SEQUENTIAL:
        found["repeatable"] = True  # RecBole makes sequences of nothing else
        if given.get("loss_type", recbole_defaults("model", name).get("loss_type")) == "CE":
            found["train_neg_sample_args"] = None
    if kind == ModelType.KNOWLEDGE:
        found["additional_feat_suffix"] = None
    return found


def _columns(config: Config, name: str, kind: ModelType) -> dict[str, Any]:
    """``load_col``: the run's; time for sequences; features where a model takes them, all where none are named."""
    load = config["load_col"]
    found: dict[str, Any] = {"inter": "*", **(load or {})}
    time = config["TIME_FIELD"]
    if kind == ModelType.SEQUENTIAL and found["inter"] != "*" and time in _header(config):
        found["inter"] = [*found["inter"], *({time} - set(found["inter"]))]
    takes_features = kind == ModelType.CONTEXT or (
        "selected_features" in recbole_defaults("model", name) or name in _FEATURES_WITH_SEQUENCES
    )
    for source in ("user", "item"):
        if not takes_features:
            found.pop(source, None)
        elif source not in found:
            found[source] = "*"
    if kind == ModelType.KNOWLEDGE:
        found.update(kg="*", link="*")
    return found


def _header(config: Config) -> list[str]:
    """Names of the columns of a data set's interactions."""
    parts = config["benchmark_filename"]
    file = Path(config["data_path"]) / f"{config['dataset']}{f'.{parts[0]}' if parts else ''}.inter"
    with file.open(encoding="utf-8-sig") as lines:
        return [column.split(":")[0] for column in lines.readline().strip().split(config["field_separator"])]


def own_files(config: Config) -> dict[str, str]:
    """Checksums of the files that a model's own data set is loaded from, by their endings: they decide its order and
    its features, which the run's data do not show; empty for a general recommender."""
    if config["MODEL_TYPE"] not in OWN_DATA:
        return {}
    folder, name = Path(config["data_path"]), config["dataset"]
    found = {}
    for file in sorted(folder.glob(f"{name}.*")):
        source = file.suffix[1:]
        if source in _KEPT_FILES and (source == "inter" or source in (config["load_col"] or _KEPT_FILES)):
            status = file.stat()
            found[file.name[len(name) + 1 :]] = _checksum(file, status.st_size, status.st_mtime_ns)
    return found


@functools.lru_cache(maxsize=64)
def _checksum(file: Path, size: int, changed: int) -> str:
    return sha256_of(file)[:16]


def made_model(config: Config, train: Any) -> tuple[Any, Any]:
    """A model on a run's training split, untrained.

    Args:
        config: its Config.
        train: the run's training Dataset of RecBole's.

    Returns:
        The model, and its training loader where its type has a data set of its own, else None.

    Raises:
        ValueError: as :meth:`OwnData.load`.
    """
    kind, device = get_model(config["model"]), config["device"]
    if config["MODEL_TYPE"] not in OWN_DATA:
        return kind(config, train).to(device), None
    own = OwnData.load(config, train)
    loader = own.loader(config)  # before the model: some loaders name fields for it
    model = kind(config, own.dataset).to(device)
    setattr(model, OWN_SCORES, own.scores_of(model))
    return model, loader


# -- data -------------------------------------------------------------------------------------------------------------


@dataclass
class OwnData:
    """A run's training split as a data set of a model's own kind.

    Attributes:
        dataset: RecBole's data set to make the model and its loader of; nothing but training interactions is in it.
        plain: the same before sequences were made, [n] interactions, users ascending and each user's in order.
        users: own id of each of the run's users, int64 [U]; 0 for who is not there.
        items: own id of each of the run's items, int64 [I]; 0 for what is not there.
    """

    dataset: Any
    plain: Interaction
    users: Tensor
    items: Tensor

    @staticmethod
    def load(config: Config, train: Any) -> OwnData:
        """Load it.

        Args:
            config: the model's Config.
            train: the run's training Dataset of RecBole's.

        Raises:
            ValueError: files of the model's type are not there, or an interaction of the training split is not found.
        """
        own_config = copy.copy(config)
        own_config.final_config_dict = dict(config.final_config_dict)
        check_own_files(own_config)
        dataset = _class_of(own_config)(own_config)
        own_config.final_config_dict["benchmark_filename"] = dataset.benchmark_filename_list = None
        users = _own_ids(train, dataset, train.uid_field)
        items = _own_ids(train, dataset, train.iid_field)
        _keep_training(dataset, train, users, items)
        Dataset._change_feat_format(dataset)
        plain = dataset.inter_feat
        if isinstance(dataset, SequentialDataset):
            dataset.data_augmentation()
            if not len(dataset.inter_feat):
                raise ValueError(f"{config['model']}: no user has two training items, so there is no sequence to learn")
        return OwnData(dataset, plain, torch.from_numpy(users), torch.from_numpy(items))

    def loader(self, config: Config) -> Any:
        """RecBole's training loader for the model."""
        sampling = config["train_neg_sample_args"]
        plain = self.dataset.copy(self.plain)
        sampler = None
        if sampling["distribution"] != "none":
            arguments = sampling["distribution"], sampling["alpha"]
            sampler = (
                RepeatableSampler(["train"], plain, *arguments)
                if config["repeatable"]
                else Sampler(["train"], [plain], *arguments)
            ).set_phase("train")
        make = recbole.data.utils.get_dataloader(config, "train")
        train = self.dataset.copy(self.dataset.inter_feat)
        if config["MODEL_TYPE"] != ModelType.KNOWLEDGE:
            return make(config, train, sampler, config["shuffle"])
        kg_sampler = KGSampler(self.dataset, sampling["distribution"], sampling["alpha"])
        return make(config, train, sampler, kg_sampler, shuffle=True)

    def scores_of(self, model: Any) -> OwnScores:
        """What the model says of all of the run's items."""
        return OwnScores(self, model)

    @functools.cached_property
    def histories(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each own user's interactions begin in :attr:`plain`, [U' + 1], and the own items in order, [n]."""
        owners = self.plain[self.dataset.uid_field].numpy()
        counts = np.bincount(owners, minlength=self.dataset.user_num)
        return np.concatenate([[0], counts.cumsum()]), self.plain[self.dataset.iid_field].numpy()

    def sequences(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """The last items of some own users, the oldest first, 0 behind, int64 [B, L]; and how many, int64 [B]."""
        starts, items = self.histories
        longest = self.dataset.max_item_list_len
        first, end = starts[users.numpy()], starts[users.numpy() + 1]
        lengths = np.minimum(end - first, longest)
        places = np.arange(longest)[None, :]
        where = np.minimum((end - lengths)[:, None] + places, max(len(items) - 1, 0))
        found = np.where(places < lengths[:, None], items[where], 0)
        return torch.from_numpy(found), torch.from_numpy(lengths)


def _class_of(config: Config) -> type[Any]:
    special = getattr(recbole.data.dataset, f"{config['model']}Dataset", None)
    if special is not None:
        kind: type[Any] = special
    else:
        kind = {ModelType.SEQUENTIAL: SequentialDataset, ModelType.KNOWLEDGE: KnowledgeBasedDataset}.get(
            config["MODEL_TYPE"], Dataset
        )
    if issubclass(kind, SequentialDataset):  # sequences in benchmark files are not what is loaded here
        return type(kind.__name__, (kind,), {"_benchmark_presets": lambda self: None})
    return kind


def check_own_files(config: Config) -> None:
    """Refuse a model that lacks the files of its type.

    Raises:
        ValueError: names them.
    """
    if config["MODEL_TYPE"] == ModelType.KNOWLEDGE:
        for ending in ("kg", "link"):
            file = Path(config["data_path"]) / f"{config['dataset']}.{ending}"
            if not file.is_file():
                raise ValueError(
                    f"{config['model']} is a knowledge-aware model and needs a knowledge graph, in {file.stem}.kg and "
                    f"{file.stem}.link; {file} does not exist"
                )


def _own_ids(train: Any, dataset: Any, field: str) -> NDArray[np.int64]:
    known = dataset.field2token_id[field]
    return np.array([0, *(known.get(token, 0) for token in train.field2id_token[field][1:])], dtype=np.int64)


def _keep_training(dataset: Any, train: Any, users: NDArray[np.int64], items: NDArray[np.int64]) -> None:
    """Of a loaded data set's interactions keep those of the training split, by time, or in the file's order.

    Of pairs that occur more than once as many are kept as are in training, the earliest ones.
    """
    uid, iid, time = dataset.uid_field, dataset.iid_field, dataset.time_field
    frame = dataset.inter_feat
    if time in frame:
        frame = frame.sort_values(time, kind="stable")
    their_users = users[np.asarray(train.inter_feat[train.uid_field])]
    their_items = items[np.asarray(train.inter_feat[train.iid_field])]
    if isinstance(dataset, KnowledgeBasedDataset):  # it drops items without an entity, and who has no others
        known = (their_users > 0) & (their_items > 0)
        their_users, their_items = their_users[known], their_items[known]
        if not known.all():
            logging.getLogger().warning(
                f"{dataset.config['model']}: {(items[1:] == 0).sum()} of {len(items) - 1} items have no entity in the "
                f"knowledge graph; it learns nothing of them and never lists them ({(~known).sum()} of {len(known)} "
                "training interactions)"
            )
    wanted = pd.Series(their_users * dataset.item_num + their_items).value_counts()
    pairs = frame[uid].astype("int64") * dataset.item_num + frame[iid].astype("int64")
    kept = frame[pairs.groupby(pairs).cumcount().to_numpy() < pairs.map(wanted).fillna(0).to_numpy()]
    if len(kept) < wanted.sum():
        raise ValueError(
            f"{int(wanted.sum()) - len(kept)} of {int(wanted.sum())} training interactions are not in the data set as "
            f"{dataset.config['model']} loads it: give its teacher_config no filters that the run does not have"
        )
    kept = kept.sort_values(uid, kind="stable").reset_index(drop=True)
    for field in [name for name in kept if name not in (uid, iid)]:
        dataset._del_col(kept, field)
    if isinstance(dataset, SequentialDataset):
        dataset.time_field = time or "order"
        kept[dataset.time_field] = np.arange(len(kept), dtype=np.float64)  # orders, and means nothing else
        dataset.set_field_property(dataset.time_field, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
    dataset.inter_feat = kept


# -- scores -----------------------------------------------------------------------------------------------------------


class OwnScores:
    """Scores of all of the run's items by a model that asks for sequences, features or entities.

    Args:
        data: the model's data set.
        model: the model.
    """

    def __init__(self, data: OwnData, model: Any) -> None:
        self.data, self.model = data, model
        self.sequential = isinstance(data.dataset, SequentialDataset)

    def __call__(self, users: Tensor) -> Tensor:
        """Scores of some users, float [B, I]; ``-inf`` of items that the model does not know, and, where it asks for
        a sequence, of users who have none.

        Args:
            users: the run's user ids, int64 [B].
        """
        return torch.cat([self._block(block) for block in users.split(USERS_AT_ONCE)])

    def _block(self, users: Tensor) -> Tensor:
        device, own = device_of(self.model), self.data.users[users.cpu()]
        query, able = self._query(own)
        scores = torch.full((len(users), len(self.data.items)), -torch.inf, device=device)
        if able.any():
            known = self.data.items.nonzero().flatten()
            part = torch.full((int(able.sum()), scores.shape[1]), -torch.inf, device=device)
            part[:, known.to(device)] = self._own_scores(Interaction(query)[able], self.data.items[known])
            scores[able.to(device)] = part
        return scores

    def _query(self, own: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """What the model is asked of some own users, and of which of them it can be, bool [B]."""
        dataset = self.data.dataset
        query, able = {dataset.uid_field: own}, own > 0
        if self.sequential:
            items, lengths = self.data.sequences(own)
            query |= {dataset.item_id_list_field: items, dataset.item_list_length_field: lengths}
            negative = getattr(dataset, "neg_item_list_field", None)  # DIEN wants one, which no prediction depends on
            query |= {} if negative is None else {negative: items}
            able &= lengths > 0
            # some read a next item and do not use it for predictions
            query[dataset.iid_field] = items.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0]
        return query, able

    def _own_scores(self, query: Interaction, items: Tensor) -> Tensor:
        """Scores of some own items, float [b, m]."""
        device = device_of(self.model)
        with without_sigmoid(self.model):
            try:
                scores = self.model.full_sort_predict(query.to(device))
            except NotImplementedError:
                return self._by_pairs(query, items).to(device)
        return scores.view(len(query), -1)[:, items.to(device)]

    def _by_pairs(self, query: Interaction, items: Tensor) -> Tensor:
        """The same of a model that scores single pairs, with the features of both sides, float [b, m]."""
        device, dataset = device_of(self.model), self.data.dataset
        most = PAIRS_AT_ONCE if device.type == "cpu" else PAIRS_AT_ONCE_ON_GPU
        step = most // (8 if self.sequential else 1)
        found = []
        for pairs in torch.arange(len(query) * len(items)).split(step):
            rows, columns = pairs // len(items), pairs % len(items)
            asked = query[rows]
            asked.update(Interaction({dataset.iid_field: items[columns]}))
            found.append(self.model.predict(dataset.join(asked).to(device)).view(-1))
        return torch.cat(found).view(len(query), len(items))
