"""What each question is answered with, as plain data that schemas.py describes."""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterable
from typing import Any

from recbole_hetcomp.serving.service.ranking import Ranked, Ranker
from recbole_hetcomp.serving.service.reload import Served, Watched
from recbole_hetcomp.serving.service.schemas import RecommendRequest, SimilarRequest

Answer = dict[str, Any]
_TOLD = {"model": ("name", "backbone", "teachers"), "data": ("name",)}  # of a manifest: what everybody may know


def recommendations(ranker: Ranker, asked: RecommendRequest) -> Answer:
    """One list a user, in the order of the request."""
    excluded = ranker.item_rows(asked.exclude) if asked.exclude else None
    lists = []
    for user in asked.users:
        row = ranker.user_row(user)
        ranked = ranker.popular(asked.k, excluded) if row is None else ranker.of_user(row, asked.k, excluded)
        lists.append({"user": user, "fallback": row is None, "items": _items(ranker, ranked, asked.titles)})
    return {"export": ranker.id, "lists": lists}


def similar_items(ranker: Ranker, asked: SimilarRequest) -> Answer | None:
    """An item's neighbours; None where the export does not know it."""
    row = ranker.item_row(asked.item)
    if row is None:
        return None
    found: Answer = {"export": ranker.id, "item": asked.item}
    if asked.titles and ranker.titles is not None:
        found["title"] = ranker.titles[row]
    return {**found, "items": _items(ranker, ranker.similar(row, asked.k), asked.titles)}


def user_page(ranker: Ranker, user: str, k: int, history: int) -> Answer:
    """All that the page shows of a user.

    Args:
        ranker: the export.
        user: an external id.
        k: items of the student's and the ensemble's list.
        history: items of the user's history, the last ones.
    """
    begun = time.perf_counter()
    row = ranker.user_row(user)
    student = ranker.popular(k) if row is None else ranker.of_user(row, k)
    took = time.perf_counter() - begun
    had = [] if row is None else ranker.history(row).tolist()
    listed = None if row is None else ranker.of_ensemble(row, k)
    return {
        "export": ranker.id,
        "user": user,
        "fallback": row is None,
        "history": _shown(ranker, had[-history:] if history else []),
        "history_size": len(had),
        "student": [
            {**shown, "score": float(score)}
            for shown, score in zip(_shown(ranker, student.rows.tolist()), student.scores)
        ],
        "ensemble": None if listed is None else _shown(ranker, listed.tolist()),
        "milliseconds": round(took * 1000, 3),
    }


def known_users(ranker: Ranker, prefix: str, limit: int) -> Answer:
    """Ids that begin alike, in the order of their characters."""
    begin = bisect.bisect_left(ranker.sorted_users, prefix)
    found = ranker.sorted_users[begin : begin + limit]
    return {"users": [user for user in found if user.startswith(prefix)]}


def health(watched: Watched) -> Answer:
    """What is served, and what was refused."""
    served: Served = watched.current
    ranker = served.ranker
    return {
        "status": "ok",
        "export": {
            "id": ranker.id,
            "users": len(ranker.users),
            "items": len(ranker.items),
            "dimensions": ranker.dimensions,
            "titles": ranker.titles is not None,
            "ensemble": ranker.ensemble is not None,
            **{name: ranker.manifest.get(name) for name in ("schema", "created")},
            **{
                part: {name: ranker.manifest[part][name] for name in names if name in ranker.manifest.get(part, {})}
                for part, names in _TOLD.items()
            },
        },
        "loaded": served.since.isoformat(timespec="seconds"),
        "reloads": watched.reloads,
        "refused": watched.refused,
    }


def _items(ranker: Ranker, ranked: Ranked, titles: bool) -> list[Answer]:
    """Scores stay NumPy's, so that they are written with float32's digits."""
    names, known = ranker.items, ranker.titles if titles else None
    if known is None:
        return [{"item": names[row], "score": score} for row, score in zip(ranked.rows.tolist(), ranked.scores)]
    return [
        {"item": names[row], "score": score, "title": known[row]}
        for row, score in zip(ranked.rows.tolist(), ranked.scores)
    ]


def _shown(ranker: Ranker, rows: Iterable[int]) -> list[Answer]:
    titles = ranker.titles
    return [
        {
            "item": ranker.items[row],
            "title": None if titles is None else titles[row],
            "interactions": ranker.interactions(row),
        }
        for row in rows
    ]
