"""Writes any teacher, ensemble or student as a table of rankings (docs/rankings.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.rankings import ranks_in, take_padded
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.data.rankings.grouping import Ids
from recbole_hetcomp.data.rankings.mismatches import Mismatches
from recbole_hetcomp.data.rankings.writing import Block, write_rankings
from recbole_hetcomp.recbole_bridge.config import memory_for_scores
from recbole_hetcomp.recbole_bridge.quick_start import load_data_and_model
from recbole_hetcomp.recbole_bridge.scoring import users_at_once
from recbole_hetcomp.teachers.imported_ranking import candidate_scores
from recbole_hetcomp.teachers.importing import TargetData, score_lists
from recbole_hetcomp.trajectories import Trajectory
from recbole_hetcomp.trajectories.imported import ImportedRankings

_USERS_AT_ONCE = 4096


def export_trajectory(target: TargetData, trajectory: Trajectory, output: Path, format: str | None = None) -> int:
    """Write a stored teacher: every snapshot's list, the last one's with what is kept for test time behind it.

    Imported again, with the same K' and metrics, it makes the same trajectory.

    Args:
        target: the data that it was trained on.
        trajectory: the teacher.
        output: the file.
        format: as of :func:`write_rankings`.

    Returns:
        Rows written.
    """
    return write_rankings(output, target.users, target.items, _trajectory_blocks(target.data, trajectory), format)


def _trajectory_blocks(data: Interactions, trajectory: Trajectory) -> Iterator[Block]:
    last = len(trajectory.epochs) - 1
    for number, epoch in enumerate(trajectory.epochs):
        ranks = trajectory.observed_ranks[number].long()
        for users in data.ranked_users.split(_USERS_AT_ONCE):
            lists = trajectory.unobserved[number, users].long()
            if number == last and trajectory.served is not None:
                lists = torch.cat([lists, _further(users, lists, trajectory.served[users].long(), data.n_items)], 1)
            positions = data.observed.positions(users)
            own = take_padded(data.observed.values, positions).long()
            place = take_padded(ranks, positions)
            own.masked_fill_(place == (positions != PAD).sum(dim=1, keepdim=True), PAD)  # of users it does not know
            order = place.masked_fill(positions == PAD, data.n_items).argsort(dim=1, stable=True)
            yield _block(int(epoch), users, lists, own.gather(1, order))


def _further(users: Tensor, lists: Tensor, served: Tensor, n_items: int) -> Tensor:
    """Served items that are not in the lists, ``PAD`` in their places, [B, S]."""
    return served.masked_fill(ranks_in(lists, served, absent=n_items) < n_items, PAD)


def _block(label: int, users: Tensor, lists: Tensor, own: Tensor) -> Block:
    both = torch.cat([lists, own], dim=1)
    kept = both != PAD
    seen = torch.arange(both.shape[1]).expand_as(both) >= lists.shape[1]
    return label, users[kept.nonzero()[:, 0]].numpy(), both[kept].numpy(), seen[kept].numpy()


def export_imported(target: TargetData, rankings: ImportedRankings, output: Path, format: str | None = None) -> int:
    """Write an imported teacher; returns the rows written."""

    def blocks() -> Iterator[Block]:
        seen = Membership.of(target.data.observed)
        for number, label in enumerate(rankings.snapshots):
            lists = rankings.lists(number)
            for users in target.data.ranked_users.split(_USERS_AT_ONCE):
                rows, _, items = lists.of(users)
                own = seen.holds(users[rows], items[:, None])[:, 0]
                yield label, users[rows].numpy(), items.numpy(), own.numpy()

    return write_rankings(output, target.users, target.items, blocks(), format)


def export_model(model_file: Path, output: Path, length: int, format: str | None = None) -> int:
    """Write a saved student, ensemble or RecBole model: its best items besides the training items, then these.

    Args:
        model_file: its checkpoint.
        output: the file.
        length: items of a list, besides training items.
        format: as of :func:`write_rankings`.

    Returns:
        Rows written.
    """
    config, model, dataset, train_data, valid_data, _ = load_data_and_model(str(model_file))
    train = train_data._dataset
    data = Interactions.from_datasets(train, valid_data._dataset if valid_data else None)
    model.eval()
    score = candidate_scores(model, data.n_items)
    seen, uncounted = Membership.of(data.observed), Mismatches(str(model_file))

    def blocks() -> Iterator[Block]:
        for users in data.ranked_users.split(users_at_once(data.n_items, memory_for_scores(config))):
            with torch.no_grad():
                rows, items = score_lists(data, score, users, length, uncounted)
            own = seen.holds(torch.from_numpy(rows), torch.from_numpy(items)[:, None])[:, 0]
            yield 0, rows, items, own.numpy()

    ids = Ids(dataset.field2id_token[dataset.uid_field]), Ids(dataset.field2id_token[dataset.iid_field])
    return write_rankings(output, *ids, blocks(), format)
