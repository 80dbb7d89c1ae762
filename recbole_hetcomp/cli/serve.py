"""``hetcomp serve``: an export folder as a service."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking


@options.command("serve", epilog="Endpoints, reloading, containers: docs/serve.md.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", help="Address; one that others reach needs a token.")
@click.option("--port", default=8000, type=click.IntRange(0, 65535), help="Its port; 0 for any that is free.")
@click.option(
    "--token",
    envvar="HETCOMP_TOKEN",
    show_envvar=True,
    help="What requests have to bring: Authorization: Bearer TOKEN.",
)
@click.option("--workers", default=1, type=click.IntRange(1), help="Processes that answer.")
def serve(folder: Path, host: str, port: int, token: str | None, workers: int) -> int:
    """Serve DIR, which hetcomp export wrote, over HTTP, with a page at / to look at its lists.

    An export that is put in DIR's place is taken up while requests are answered; a damaged one is refused.
    """
    from recbole_hetcomp.extras import require

    with checking():
        require("A service", "fastapi", "fastapi_offline", "uvicorn", "prometheus_client", "orjson", "pyarrow")
        from recbole_hetcomp.serving.service.access import check_address
        from recbole_hetcomp.serving.service.running import server

        check_address(host, token)
        run = server(folder, host, port, token, workers)
    run()  # until a signal; a service that ends when it is told to has done what it should
    return DONE
