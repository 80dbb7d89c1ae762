"""Who interacted with what, in the form that the algorithm needs, and the fingerprint of a data set's split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_hetcomp.core import Ragged


@dataclass(frozen=True)
class Interactions:
    """A data set's training and validation interactions.

    Attributes:
        n_users: U with RecBole's padding user 0.
        n_items: I with RecBole's padding item 0.
        observed: N+_u, each user's training items, ascending.
        served: each user's training and validation items, what is not recommended at test time.
        active: bool [U], users with at least one training item; the padding user is not.
        fingerprint: identifies users, items and the split.
        ids: identifies users and items alone, in the order of their internal ids.
    """

    n_users: int
    n_items: int
    observed: Ragged
    served: Ragged
    active: Tensor
    fingerprint: str
    ids: str = ""

    @classmethod
    def from_datasets(cls, train: Any, valid: Any) -> Interactions:
        """Read RecBole's training and validation Datasets (``train_data._dataset``)."""
        users, items = _pairs(train)
        later_users, later_items = _pairs(valid) if valid is not None else (users[:0], items[:0])
        observed = Ragged.from_pairs(users, items, train.user_num)
        served = Ragged.from_pairs(torch.cat([users, later_users]), torch.cat([items, later_items]), train.user_num)
        return cls(
            n_users=train.user_num,
            n_items=train.item_num,
            observed=observed,
            served=served,
            active=observed.lengths() > 0,
            fingerprint=_fingerprint(train, observed, served),
            ids=_ids_digest(train).hexdigest()[:16],
        )

    @property
    def users(self) -> Tensor:
        """Ids of the active users, ascending."""
        return self.active.nonzero().flatten()

    @property
    def ranked_users(self) -> Tensor:
        """Ids of the users whose rankings are kept, ascending: all but padding.

        A split by time may leave a user without training items; a teacher ranks the catalogue for them all the same.
        """
        return torch.arange(1, self.n_users)

    @property
    def item_counts(self) -> Tensor:
        """Training interactions of each item, int64 [I]."""
        return torch.bincount(self.observed.values.long(), minlength=self.n_items)


def _pairs(dataset: Any) -> tuple[Tensor, Tensor]:
    pairs = torch.stack(
        [torch.as_tensor(np.asarray(dataset.inter_feat[field])) for field in (dataset.uid_field, dataset.iid_field)]
    )
    pairs = torch.unique(pairs.long(), dim=1)
    return pairs[0], pairs[1]


def _fingerprint(dataset: Any, *parts: Ragged) -> str:
    digest = _ids_digest(dataset)
    for part in parts:
        digest.update(part.offsets.numpy().astype("<i8").tobytes())
        digest.update(part.values.numpy().astype("<i8").tobytes())
    if bool((parts[0].lengths()[1:] == 0).any()):
        digest.update(b"|rankings of users without training items")
    return digest.hexdigest()[:16]


def _ids_digest(dataset: Any) -> Any:
    digest = hashlib.sha256(f"{dataset.dataset_name}|{dataset.user_num}|{dataset.item_num}".encode())
    for field in (dataset.uid_field, dataset.iid_field):
        digest.update("\x1f".join(map(str, dataset.field2id_token[field])).encode())
    return digest
