"""A teacher whose rankings were made elsewhere and imported into the store: ``teachers: [import:NAME]``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from recbole.config import Config
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.rankings import take_padded
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.declared import did_you_mean
from recbole_hetcomp.settings import IMPORTED
from recbole_hetcomp.teachers.recorder import SnapshotRecorder
from recbole_hetcomp.trajectories import CorruptTrajectoryError, Trajectory
from recbole_hetcomp.trajectories.imported import ImportedRankings, SnapshotLists, imported_names, read_imported


@dataclass(frozen=True)
class ImportedTeacher:
    """An imported teacher of a run. It learns nothing: it is its rankings.

    Attributes:
        rankings: its entry.
    """

    rankings: ImportedRankings

    @staticmethod
    def of(name: str, settings: Mapping[str, Any], store_dir: str) -> ImportedTeacher:
        """Find it, before any training.

        Args:
            name: ``import:NAME``.
            settings: its ``teacher_config``, in which a seed means nothing.
            store_dir: the run's store.

        Raises:
            ValueError: the store has none of this name, its manifest is damaged, or it is given settings.
        """
        others = sorted(set(settings) - {"seed"})
        if others:
            raise ValueError(f"teacher_config for {name!r} names {others[0]!r}: an imported teacher has no settings")
        try:
            return ImportedTeacher(read_imported(store_dir, name[len(IMPORTED) :]))
        except FileNotFoundError:
            known = [IMPORTED + found for found in imported_names(store_dir)]
            hint = did_you_mean(name, known) if known else ""
            raise ValueError(
                f"teacher {name!r} is not in the store {store_dir!r}{hint or ': hetcomp import-teacher puts it there'}"
            ) from None
        except CorruptTrajectoryError as error:
            raise ValueError(f"teacher {name!r} is damaged: {error}; import it again with --replace") from error

    @property
    def code(self) -> str:
        """Checksum of what decides its rankings."""
        return self.rankings.content

    def identity(self, config: Config) -> dict[str, Any]:
        """All that decides what is kept of it, besides the data."""
        return {
            "teacher": IMPORTED + self.rankings.name,
            "content": self.rankings.content,
            "without_a_list": "unordered",  # training items of users without a list; they were by popularity once
            "valid_metric": config["valid_metric"],
        }

    def seed_in(self, config: Config) -> int:
        """The run's seed; nothing is drawn."""
        return config["seed"]

    def make(self) -> ImportedTeacher:
        """Itself."""
        return self

    def check_data(self, interactions: Interactions) -> None:
        """Refuse other data than it was imported for.

        Raises:
            ValueError: names what differs.
        """
        data, name = self.rankings.about["data"], IMPORTED + self.rankings.name
        if data["ids"] != interactions.ids:
            raise ValueError(
                f"teacher {name!r} was imported for the users and items of data set {data['dataset']!r} as they were "
                "then, and this run has others; import it again with this run's data, or under another name"
            )
        if not data["any_split"] and data["fingerprint"] != interactions.fingerprint:
            raise ValueError(
                f"teacher {name!r} was imported for another split of data set {data['dataset']!r}: it may have learnt "
                "from what is validation or test data here. Import it again with this run's seed and eval_args, or "
                "with --any_split if it has not"
            )

    def teach(self, interactions: Interactions, recorder: SnapshotRecorder) -> Trajectory:
        """Record its snapshots.

        Raises:
            CorruptTrajectoryError: its files do not match their checksums.
            ValueError: they are of other data.
        """
        self.check_data(interactions)
        self.rankings.verify()
        behind = _popularity_rank(interactions)
        for number, label in enumerate(self.rankings.snapshots):
            scores = functools.partial(list_scores, self.rankings.lists(number), interactions, behind)
            recorder.record_scores(scores, epoch=label)
        return recorder.trajectory()


def list_scores(lists: SnapshotLists, data: Interactions, behind: Tensor, users: Tensor) -> Tensor:
    """Scores that rank items as lists do.

    An item that is not listed is no candidate, -inf. A training item that is not listed ranks behind those that are,
    by how many have it in training: what is taught of a user's training items wants all of them in some order. A user
    without a list has no order of them either.

    Args:
        lists: best first.
        data: the interactions.
        behind: order of training items that are not listed, the smaller the better, at least 0, float [I].
        users: ascending, int64 [B].

    Returns:
        float [B, I].
    """
    rows, place, items = lists.of(users)
    scores = torch.full((len(users), data.n_items), -torch.inf)
    scores[rows, items] = -place.float()
    positions = data.observed.positions(users)
    own = take_padded(data.observed.values, positions).long()
    row, column = (own != PAD).nonzero(as_tuple=True)
    item = own[row, column]
    known = torch.zeros(len(users), dtype=torch.bool)
    known[rows] = True
    unlisted = (scores[row, item] == -torch.inf) & known[row]
    row, item = row[unlisted], item[unlisted]
    scores[row, item] = -2.0 * data.n_items - behind[item]  # below any place
    return scores


def _popularity_rank(data: Interactions) -> Tensor:
    """0 for the item with most training interactions, ties to the smaller id, float [I]."""
    order = torch.sort(data.item_counts, descending=True, stable=True)[1]
    return torch.empty(len(order)).scatter_(0, order, torch.arange(len(order), dtype=torch.float32))
