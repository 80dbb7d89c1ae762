"""The data card: what is in a prepared data set, how it was made, and checksums to compare."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from recbole_hetcomp.data.prepare.records import Drop, Ints, Records

SHARES = (1, 5, 10, 20, 50)
"""Per cent of the items whose share of the interactions is told."""
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def counts(records: Records) -> dict[str, int]:
    """Number of interactions, users and items."""
    return {"interactions": len(records), "users": records.n_users, "items": records.n_items}


def sizes(records: Records, parts: dict[str, Records]) -> dict[str, Any]:
    """Counts of all and of each part, density, activity and popularity.

    Args:
        records: the whole catalogue: all interactions after the filters.
        parts: what is written, by the part's name; the first is the one to learn from.
    """
    written = sum(len(part) for part in parts.values())
    whole = counts(records)
    learnt_from, first = next(iter(parts.items()))
    return {
        "interactions": written,
        "users": whole["users"],
        "items": whole["items"],
        "density": written / (whole["users"] * whole["items"]),
        "parts": {name: counts(part) for name, part in parts.items()},
        "interactions_per_user": activity(np.concatenate([part.users for part in parts.values()])),
        "popularity": {"part": learnt_from, **popularity(first.items, whole["items"])},
    }


def activity(users: Ints) -> dict[str, float]:
    """Mean and quantiles of interactions a user.

    >>> activity(np.array([0, 0, 0, 1]))["mean"]
    2.0
    """
    per_user = np.bincount(users)
    per_user = per_user[per_user > 0]
    quantiles = {f"{share:.0%}": float(np.quantile(per_user, share)) for share in QUANTILES}
    return {"mean": float(per_user.mean()), **quantiles}


def popularity(items: Ints, n_items: int) -> dict[str, Any]:
    """How concentrated interactions are.

    ``top`` tells the share of the interactions that the most popular 1, 5, … per cent of the items have, rounded up to
    whole items; ``gini`` is 0 if all items are equally popular and nears 1 if one has it all. Items without an
    interaction count as well.

    Args:
        items: the item of each interaction, [n].
        n_items: size of the catalogue.

    >>> popularity(np.array([0, 0, 0, 1]), n_items=4)
    {'top': {'1%': 0.75, '5%': 0.75, '10%': 0.75, '20%': 0.75, '50%': 1.0}, 'gini': 0.625}
    """
    counted = np.bincount(items)
    counted = np.sort(counted[counted > 0])
    found = np.concatenate((np.zeros(n_items - len(counted), dtype=np.int64), counted))  # ascending
    total = int(found.sum())
    reached = found[::-1].cumsum() / total
    top = {f"{share}%": float(reached[math.ceil(n_items * share / 100) - 1]) for share in SHARES}
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return {"top": top, "gini": float((weights * found).sum() / (n_items * total))}


def dropped(drops: list[Drop]) -> list[dict[str, Any]]:
    """The account as plain data."""
    return [asdict(drop) for drop in drops]


def as_markdown(card: dict[str, Any]) -> str:
    """The card for people."""
    top = card["popularity"]["top"]
    part = card["popularity"]["part"]
    activity_of = card["interactions_per_user"]
    sections = [
        f"# {card['name']}",
        f"{card['interactions']:,} interactions of {card['users']:,} users with {card['items']:,} items, "
        f"density {card['density']:.4%}.",
        _table(
            ["part", "interactions", "users", "items"], [[name, *row.values()] for name, row in card["parts"].items()]
        ),
        "## Made by",
        f"```bash\n{card['command']}\n```",
        f"from `{card['input']['file']}` ({card['input']['bytes']:,} bytes) with recbole-hetcomp {card['version']}.",
        "## Dropped",
        _table(
            ["step", "interactions", "users", "items"],
            [
                ["read", *card["read"].values()],
                *([f"− {row['reason']}", row["interactions"], row["users"], row["items"]] for row in card["dropped"]),
            ],
        ),
        "Filters count the users and items that have no interaction left. Users and items of dropped validation and "
        "test interactions are those concerned; they stay in the data set.",
        "## Interactions a user",
        _table(list(activity_of), [[f"{value:.4g}" for value in activity_of.values()]]),
        f"## Popularity ({part})",
        f"Share of the interactions that the most popular items have; Gini coefficient "
        f"{card['popularity']['gini']:.4f}.",
        _table([f"top {name}" for name in top], [[f"{share:.1%}" for share in top.values()]]),
        "## SHA-256",
        _table(["file", "checksum"], [[card["input"]["file"], card["input"]["sha256"]], *card["files"].items()]),
    ]
    return "\n\n".join(sections) + "\n"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    shown = [[f"{value:,}" if isinstance(value, int) else value for value in row] for row in rows]
    return pd.DataFrame(shown, columns=head).to_markdown(index=False, tablefmt="github", disable_numparse=True)
