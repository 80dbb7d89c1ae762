"""Brings rankings that were made elsewhere into the store: a table, or anything that scores all items of a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import init_seed
from torch import Tensor

from recbole_hetcomp.core import PAD, observed_ranks, top_k
from recbole_hetcomp.core.rankings import hide, take_padded, without
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.data.rankings.grouping import GroupedTable, Ids
from recbole_hetcomp.data.rankings.mismatches import Mismatches
from recbole_hetcomp.data.rankings.reading import RankingTable
from recbole_hetcomp.recbole_bridge.config import memory_for_scores, run_settings
from recbole_hetcomp.recbole_bridge.quick_start import build_config
from recbole_hetcomp.recbole_bridge.scoring import users_at_once
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.teachers.recorder import Scores
from recbole_hetcomp.trajectories.imported import ImportedRankings, ImportWriter, entry_folder

LENGTH = 1000  # items of a list that are kept of what scores all items


@dataclass(frozen=True)
class TargetData:
    """The data that rankings are imported for, or exported of.

    Attributes:
        config: the Config.
        settings: its settings.
        train: RecBole's training Dataset.
        valid: RecBole's validation loader.
        data: the interactions.
        users: its user ids.
        items: its item ids.
        loaders: RecBole's of training, validation and test.
    """

    config: Config
    settings: HetCompSettings
    train: Any
    valid: Any
    data: Interactions
    users: Ids
    items: Ids
    loaders: tuple[Any, ...] = ()

    @staticmethod
    def load(dataset: str, config_files: Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> TargetData:
        """Read a data set as a run with these settings does. What they say of teachers is left aside."""
        aside: dict[str, Any] = {"teachers": ["EASE"], "teacher_config": {}, "teacher_weights": None}
        config = build_config("TeacherEnsemble", dataset, config_files, {**(settings or {}), **aside})
        init_seed(config["seed"], config["reproducibility"])
        loaders = data_preparation(config, create_dataset(config))
        train, valid_data = loaders[0]._dataset, loaders[1]
        return TargetData(
            config,
            run_settings(config),
            train,
            valid_data,
            Interactions.from_datasets(train, valid_data._dataset),
            Ids(train.field2id_token[train.uid_field]),
            Ids(train.field2id_token[train.iid_field]),
            (loaders[0], loaders[1], loaders[2]),
        )


@dataclass(frozen=True)
class ImportPlan:
    """What an import is called, and what it may do.

    Attributes:
        name: what runs call it, behind ``import:``.
        allow: kind of mismatch → share that is allowed, over the defaults.
        replace: whether it may take the place of another one of this name.
        any_split: whether it learnt from no interaction that is validation or test data in any split.
        length: items of a list that are kept of what scores all items.
    """

    name: str
    allow: Mapping[str, float] = field(default_factory=dict)
    replace: bool = False
    any_split: bool = False
    length: int = LENGTH

    def check(self, target: TargetData, source: str) -> Mismatches:
        """Refuse, before anything is read, what would be refused in the end.

        Raises:
            ValueError: the name, a share or the length is not allowed.
        """
        entry_folder(target.settings.store_dir, self.name)
        if self.length < target.settings.K_prime:
            raise ValueError(f"length={self.length} is not allowed: at least K_prime={target.settings.K_prime}")
        return Mismatches(source, self.allow, length=target.settings.K_prime)

    def publish(self, target: TargetData, writer: ImportWriter, counted: Mismatches) -> ImportedRankings:
        """Check what was counted and put the entry into its place.

        Raises:
            ValueError: more does not match than is allowed, or nothing does match.
        """
        counted.check()
        if not writer.counts.sum():
            raise ValueError(f"{counted.source} ranks no item for any user of data set {target.config['dataset']!r}")
        about = {
            "source": counted.source,
            "mismatches": counted.counts,
            "data": {
                "dataset": target.config["dataset"],
                "fingerprint": target.data.fingerprint,
                "ids": target.data.ids,
                "any_split": self.any_split,
            },
        }
        return writer.publish(about, self.replace)


def import_table(target: TargetData, plan: ImportPlan, table: RankingTable) -> tuple[ImportedRankings, Mismatches]:
    """Import a table of rankings.

    Returns:
        The entry, and what did not match.

    Raises:
        ValueError: the table is damaged, or more of it does not match than is allowed. The store is as before.
        FileExistsError: another ranking has this name.
    """
    store, counted = Path(target.settings.store_dir), plan.check(target, str(table.place))
    with GroupedTable(target.users, target.items, target.data.observed, counted, store / "spool") as rows:
        rows.deal(table)
        with ImportWriter(store, plan.name, target.data.n_users, rows.snapshots) as writer:
            rows.lists(writer.append)
            return plan.publish(target, writer, counted), counted


def import_scores(
    target: TargetData, plan: ImportPlan, source: str, snapshots: Sequence[tuple[int, Scores]], counted: Mismatches
) -> ImportedRankings:
    """Import what scores all items for any user.

    Args:
        target: the data.
        plan: the import.
        source: what it is, for messages.
        snapshots: label and scores of each snapshot, labels ascending; scores of what is not ranked are -inf.
        counted: what was found not to match so far.

    Raises:
        ValueError: scores are not of this form, or more does not match than is allowed. The store is as before.
        FileExistsError: another ranking has this name.
    """
    data, budget = target.data, memory_for_scores(target.config)
    named = np.zeros(data.n_users, dtype=bool)
    with ImportWriter(target.settings.store_dir, plan.name, data.n_users, [label for label, _ in snapshots]) as writer:
        for number, (_, scores) in enumerate(snapshots):
            for users in data.ranked_users.split(users_at_once(data.n_items, budget)):
                rows, items = score_lists(data, scores, users, plan.length, counted)
                named[rows] = True
                writer.append(number, rows, items)
        counted.total["users"] = data.n_users - 1
        counted.add("absent", data.n_users - 1 - int(named.sum()))
        return plan.publish(target, writer, counted)


def score_lists(
    data: Interactions, score: Scores, users: Tensor, length: int, counted: Mismatches
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lists of some users: their best items less the training items, then these in order; user and item of each."""
    found = torch.as_tensor(score(users))
    if tuple(found.shape) != (len(users), data.n_items):
        raise ValueError(
            f"{counted.source}: scores have shape {tuple(found.shape)}; needed: {(len(users), data.n_items)}"
        )
    scores = found.float().cpu().clone()
    scores[:, 0] = -torch.inf
    unfit = scores.isnan() | (scores == torch.inf)
    counted.add("missing", int(unfit.sum()))
    scores[unfit] = -torch.inf
    counted.total["rows"] += scores.numel() - len(users)
    observed = take_padded(data.observed.values, data.observed.positions(users)).long()  # [B, H]
    unranked = scores.gather(1, observed.clamp(min=0)) == -torch.inf
    own = without(observed, unranked | (observed == PAD))
    places = observed_ranks(scores, own)
    ordered = torch.full((len(users), own.shape[1] + 1), PAD)
    ordered.scatter_(1, torch.where(places == PAD, own.shape[1], places), own)
    best = top_k(hide(scores, users, data.observed), min(length, data.n_items))  # [B, L]
    values = scores.gather(1, best.clamp(min=0)).masked_fill(best == PAD, torch.nan)
    counted.add("tie", int((values[:, 1:] == values[:, :-1]).sum()))
    listed = (best != PAD).sum(dim=1)
    counted.total["lists"] += int((listed > 0).sum())
    counted.add("short", int(((listed > 0) & (listed < counted.length)).sum()))
    lists = torch.cat([best, ordered[:, :-1]], dim=1)
    kept = lists != PAD
    return users[kept.nonzero()[:, 0]].numpy(), lists[kept].numpy()
