"""The service's application: what is asked where, checked, answered and documented."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.responses import HTMLResponse, Response
from threadpoolctl import threadpool_limits

from recbole_hetcomp.serving import K
from recbole_hetcomp.serving.service import answers
from recbole_hetcomp.serving.service import schemas as s
from recbole_hetcomp.serving.service.access import TOKEN, TokenRequired
from recbole_hetcomp.serving.service.metrics import Measured, Metrics
from recbole_hetcomp.serving.service.reload import EVERY, Watched
from recbole_hetcomp.version import __version__

FOLDER = "HETCOMP_SERVE"
"""Environment variable by which a worker learns which folder it serves."""
ENDPOINTS = ("/", "/recommend", "/similar-items", "/user", "/users", "/health", "/metrics", "/openapi.json", "/docs")
OPEN = ("/", "/health", "/favicon.ico", "/docs", "/openapi.json", "/static-offline-docs/*")
"""What needs no token: pages, which hold no data, and what a container's health check asks."""

_HEAVY = 1 << 23  # multiplications (some 2 ms) above which a request leaves the loop to others
_TURN = 0.0005  # seconds after which a thread lets others run: an export that is read holds no request up
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PROBLEMS = {
    401: "A token is needed.",
    404: "It is not known.",
    413: "It is too large.",
    422: "It is not as it should be.",
}
_ABOUT = (
    "A distilled student's lists by external ids. `POST /recommend` for one or many users, `POST /similar-items` for "
    "what is like an item. A new export put in the folder is taken up while requests are answered."
)
Asked = TypeVar("Asked", bound=BaseModel)


def from_environment() -> FastAPI:
    """The application of a worker process."""
    return create_app(Path(os.environ[FOLDER]), os.environ.get(TOKEN) or None)


def create_app(folder: Path, token: str | None = None, every: float = EVERY) -> FastAPI:
    """The service of an export.

    Args:
        folder: the export, or a link to it.
        token: what requests have to bring, None for nothing.
        every: seconds between two looks at the folder.

    Raises:
        FileNotFoundError: there is no such folder.
        DamagedFileError: it holds no export, or a damaged one.
    """
    watched, metrics = Watched(folder), Metrics()

    def changed(taken: bool) -> None:
        metrics.reloads.labels("taken" if taken else "refused").inc()
        metrics.serve(watched.current.ranker)

    @asynccontextmanager
    async def watching(_: FastAPI) -> AsyncIterator[None]:
        metrics.serve(watched.current.ranker)
        watched.on_change = changed
        before = sys.getswitchinterval()
        sys.setswitchinterval(_TURN)
        watched.start(every)
        try:
            with threadpool_limits(1):  # a product is small: more threads would only wait for each other
                yield
        finally:
            watched.stop()
            sys.setswitchinterval(before)

    app = FastAPIOffline(
        title="recbole-hetcomp", version=__version__, description=_ABOUT, redoc_url=None, lifespan=watching,
        responses=None if token is None else _problems(401),
    )  # fmt: skip
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    if token is not None:
        app.add_middleware(TokenRequired, token=token, open_paths=OPEN)
        _tell_of_the_token(app)
    app.add_middleware(Measured, metrics=metrics, endpoints=ENDPOINTS)
    _add_questions(app, watched, metrics)
    _add_pages(app, watched, metrics)
    app.state.watched = watched
    return app


def _tell_of_the_token(app: FastAPI) -> None:
    """So that the OpenAPI page has a field for it."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        schema.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in OPEN else [{"token": []}]
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_questions(app: FastAPI, watched: Watched, metrics: Metrics) -> None:
    @app.post("/recommend", **_documented(s.RecommendRequest, s.Recommendations, 413))
    async def recommend(request: Request) -> Response:
        """The best items of one or many users, without those that they have; unknown users get popular ones."""
        asked, ranker = await _read(request, s.RecommendRequest), watched.current.ranker
        if len(asked.users) * ranker.dimensions * len(ranker.items) <= _HEAVY:
            found = answers.recommendations(ranker, asked)
        else:
            found = await run_in_threadpool(answers.recommendations, ranker, asked)
        metrics.fallbacks.inc(sum(listed["fallback"] for listed in found["lists"]))
        return _json(found)

    @app.post("/similar-items", **_documented(s.SimilarRequest, s.SimilarItems, 404, 413))
    async def similar_items(request: Request) -> Response:
        """Items whose vectors point where an item's does."""
        asked, ranker = await _read(request, s.SimilarRequest), watched.current.ranker
        found = await run_in_threadpool(answers.similar_items, ranker, asked)
        if found is None:
            raise HTTPException(404, f"item {asked.item!r} is not known to export {ranker.id}")
        return _json(found)

    @app.get("/user", response_model=s.UserPage, responses=_problems(422))
    def user(
        id: Annotated[str, Query(description="The user's id.")],
        k: Annotated[int, Query(ge=1, le=s.MAX_K, description="Items of a list.")] = K,
        history: Annotated[int, Query(ge=0, le=s.MAX_K, description="Items of the user's history.")] = 100,
    ) -> Response:
        """All that the page shows of a user: history, the student's list and, if exported, the ensemble's."""
        return _json(answers.user_page(watched.current.ranker, id, k, history))

    @app.get("/users", response_model=s.KnownUsers, responses=_problems(422))
    def users(
        prefix: Annotated[str, Query(description="What their ids begin with.")] = "",
        limit: Annotated[int, Query(ge=1, le=100, description="Ids at most.")] = 10,
    ) -> Response:
        """Some users that the export knows."""
        return _json(answers.known_users(watched.current.ranker, prefix, limit))


def _add_pages(app: FastAPI, watched: Watched, metrics: Metrics) -> None:
    page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")

    @app.get("/health", response_model=s.Health)
    async def health() -> Response:
        """What is served, since when, and why what lies in the folder now may not be."""
        return _json(answers.health(watched))

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def prometheus() -> Response:
        """Numbers for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def home() -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"})

    @app.get("/favicon.ico", include_in_schema=False)
    async def favicon() -> Response:
        return Response(status_code=204)


async def _read(request: Request, schema: type[Asked]) -> Asked:
    """A request's body, checked.

    Raises:
        HTTPException: it is too large, or not what the schema says.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > s.MAX_BODY:
            raise HTTPException(413, f"a request has at most {s.MAX_BODY} bytes")
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, s.in_words(error)) from None


def _json(answer: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    answer = _json({"error": error.detail}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _json({"error": s.told(error.errors())}, 422)


def _documented(asked: type[BaseModel], answered: type[BaseModel], *problems: int) -> dict[str, Any]:
    """How a question is documented whose body pydantic reads at once, in a third of FastAPI's time."""
    schema = asked.model_json_schema()
    return {
        "response_model": answered,
        "responses": _problems(422, *problems),
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}},
    }


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": s.Problem, "description": _PROBLEMS[status]} for status in statuses}
