"""What Prometheus is told: requests, how long they took, exports taken up and refused."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recbole_hetcomp.serving.service.ranking import Ranker

SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of the folder in which several workers add up their numbers."""
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The service's numbers; of all workers together where they share a folder."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "hetcomp_requests", "Requests answered.", ["endpoint", "status"], registry=registry
        )  # fmt: skip
        self.seconds = Histogram(
            "hetcomp_request_seconds", "Seconds from a request to its answer.", ["endpoint"],
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.fallbacks = Counter(
            "hetcomp_fallback_lists", "Lists of popular items, for users that the export does not know.",
            registry=registry,
        )  # fmt: skip
        self.reloads = Counter(
            "hetcomp_reloads", "Exports found in the folder, by what became of them; each worker counts its own.",
            ["outcome"], registry=registry,
        )  # fmt: skip
        for outcome in ("taken", "refused"):
            self.reloads.labels(outcome)
        self._export = {
            name: Gauge(
                f"hetcomp_export_{name}", f"{says} of the export that is served.",
                registry=registry, multiprocess_mode="mostrecent",
            )
            for name, says in (
                ("schema", "Schema version"), ("created_timestamp_seconds", "Time of creation"),
                ("users", "Users"), ("items", "Items"), ("dimensions", "Numbers in a vector"),
            )
        }  # fmt: skip

    def serve(self, ranker: Ranker) -> None:
        """Note which export is served."""
        created = created_at(ranker.manifest)
        self._export["schema"].set(ranker.manifest.get("schema", 0))
        self._export["created_timestamp_seconds"].set(0 if created is None else created.timestamp())
        self._export["users"].set(len(ranker.users))
        self._export["items"].set(len(ranker.items))
        self._export["dimensions"].set(ranker.dimensions)

    def text(self) -> bytes:
        """All of it in Prometheus's format."""
        if SHARED_DIR not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)


class Measured:
    """ASGI middleware that counts and times requests.

    Args:
        app: what answers them.
        metrics: where they are counted.
        endpoints: paths with a count of their own; all others are counted together.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, endpoints: Collection[str]) -> None:
        self._app, self._metrics, self._endpoints = app, metrics, frozenset(endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            endpoint = scope["path"] if scope["path"] in self._endpoints else "other"
            self._metrics.seconds.labels(endpoint).observe(time.perf_counter() - begun)
            self._metrics.requests.labels(endpoint, str(status)).inc()


def created_at(manifest: dict[str, Any]) -> datetime | None:
    """When an export was made, by its manifest; None where it does not say."""
    try:
        return datetime.fromisoformat(str(manifest.get("created")).replace("Z", "+00:00"))
    except ValueError:
        return None
