"""``hetcomp export``: a student as files that other runtimes serve."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking
from recbole_hetcomp.serving.export import INDEXES, PARITY_K, PRECISIONS

_PATH = click.Path(path_type=Path)


@options.command("export")
@click.option("--checkpoint", required=True, type=_PATH, help="What a run saved (.pth).")
@click.option("--to", required=True, type=_PATH, help="Folder; an earlier export in its place is replaced.")
@click.option("--k", default=PARITY_K, show_default=True, help="Items of the lists that are compared.")
@options.seen()
@click.option("--index", "indexes", multiple=True, type=click.Choice(INDEXES), help="An approximate index as well.")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS), help="Compressed vectors as well."
)
@click.option("--ensemble", default=0, help="Items of the ensemble's lists; none if not given.")
@click.option("--title", help="The item feature that names items; found by its name if not given.")
@click.option("--licence", help="Of the model, for its card.")
@click.option("--data_licence", help="Of the data, for its card.")
def export(
    checkpoint: Path, to: Path, k: int, seen: str, indexes: tuple[str, ...], precisions: tuple[str, ...],
    ensemble: int, title: str | None, licence: str | None, data_licence: str | None,
) -> int:  # fmt: skip
    """Write a saved student as vectors, Parquet, ONNX and a FAISS index, with a model card (docs/export.md).

    Each is loaded back by its own runtime and ranks for all users; where one differs from the model beyond ties,
    nothing is exported.
    """
    from recbole_hetcomp.extras import require

    with checking():
        require("An export", "pyarrow", "onnx", "onnxruntime", "faiss")
        from recbole_hetcomp.serving.export.write import Wanted, check_target
        from recbole_hetcomp.serving.export.write import export as write
        from recbole_hetcomp.serving.saved import check_file

        wanted = Wanted(seen, k, indexes, precisions, ensemble, title, licence, data_licence)
        check_target(to)
        check_file(checkpoint)
    manifest = write(checkpoint, to, wanted)
    parity, model = manifest["parity"], manifest["model"]
    click.echo(f"{to}: {model['parameters']:,} numbers, {model['bytes']:,} bytes of vectors")
    for name, one in parity["artefacts"].items():
        click.echo(
            f"{name}: top {parity['k']} of {one['users']:,} users: {one['same']:,} the same, {one['ties']:,} differ in "
            f"ties, {one['different']:,} differ; {one['recall']:.2%} of the model's items"
        )
    return DONE
