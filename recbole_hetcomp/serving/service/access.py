"""Who may ask: everybody on the machine itself; elsewhere who knows the token."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN = "HETCOMP_TOKEN"
"""Environment variable of the token."""


def check_address(host: str, token: str | None) -> None:
    """Refuse to be reached from elsewhere without a token.

    Args:
        host: the address that is bound.
        token: what requests have to bring, None for nothing.

    Raises:
        ValueError: the host is no loopback address and there is no token, or the token cannot stand in a header.

    >>> check_address("127.0.0.1", None)
    >>> check_address("0.0.0.0", None)
    Traceback (most recent call last):
    ValueError: host='0.0.0.0' can be reached from elsewhere: set HETCOMP_TOKEN (or --token), or bind 127.0.0.1
    """
    if token is not None and (not token or not token.isascii() or not token.isprintable() or " " in token):
        raise ValueError("the token is not allowed: visible ASCII characters without spaces, at least one")
    if token is None and not is_loopback(host):
        raise ValueError(f"host={host!r} can be reached from elsewhere: set {TOKEN} (or --token), or bind 127.0.0.1")


def is_loopback(host: str) -> bool:
    """Whether only the machine itself reaches an address.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "example.org")]
    [True, True, True, False, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class TokenRequired:
    """ASGI middleware that refuses requests without ``Authorization: Bearer TOKEN``.

    Args:
        app: what answers the others.
        token: the token.
        open_paths: paths that need none; ``*`` at the end stands for all below.
    """

    def __init__(self, app: ASGIApp, token: str, open_paths: Collection[str]) -> None:
        self._app, self._token = app, token.encode()
        self._open = frozenset(open_paths)
        self._below = tuple(path[:-1] for path in open_paths if path.endswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan" or self._is_open(scope["path"]) or self._is_right(scope):
            await self._app(scope, receive, send)
            return
        refused = JSONResponse(
            {"error": "a token is needed: Authorization: Bearer TOKEN"}, 401, {"WWW-Authenticate": "Bearer"}
        )
        await refused(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._open or path.startswith(self._below)

    def _is_right(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        return scheme.lower() == b"bearer" and secrets.compare_digest(token.strip(), self._token)
