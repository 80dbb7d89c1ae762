"""From a raw file to a folder that RecBole loads."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from recbole_hetcomp.data.prepare import card as cards
from recbole_hetcomp.data.prepare.filters import Filters, apply
from recbole_hetcomp.data.prepare.folder import check_free, whole_folder
from recbole_hetcomp.data.prepare.layout import USUAL_NAME, Layout, format_named
from recbole_hetcomp.data.prepare.reading import parts_of, read
from recbole_hetcomp.data.prepare.records import Drop, Records
from recbole_hetcomp.data.prepare.splits import (
    PARTS,
    global_temporal_split,
    leave_one_out_split,
    paper_split,
    temporal_split,
)
from recbole_hetcomp.files import sha256_of
from recbole_hetcomp.version import __version__

_LATER = ("keep_columns", "encoding")  # stand on a card only where they are given
_BY_TIME = {
    "temporal": temporal_split,
    "temporal-global": global_temporal_split,
    "leave-one-out": leave_one_out_split,
}
SPLITS = ("paper", *_BY_TIME, "none")


@dataclass(frozen=True)
class Prepared:
    """A data set that is ready.

    Attributes:
        folder: its folder.
        config_file: the YAML file for ``--config_files``.
        card: the data card.
    """

    folder: Path
    config_file: Path
    card: dict[str, Any]

    def __str__(self) -> str:
        """What was read, dropped and written."""
        card = self.card
        lines = [
            "read {interactions:,} interactions of {users:,} users with {items:,} items".format(**card["read"]),
            *(f"dropped {Drop(**row)}" for row in card["dropped"]),
            *(
                f"{name:5} {row['interactions']:9,} interactions of {row['users']:,} users with {row['items']:,} items"
                for name, row in card["parts"].items()
            ),
            f"{card['users']:,} users, {card['items']:,} items, density {card['density']:.4%}",
            f"written to {self.folder}; data card: {card['name']}.card.md",
        ]
        return "\n".join(lines)


def prepare(
    file: Path | str,
    output: Path | str,
    name: str,
    layout: Layout,
    filters: Filters | None = None,
    split: str = "paper",
    seed: int = 0,
    overwrite: bool = False,
) -> Prepared:
    """Prepare a data set.

    The folder ``output/name`` appears whole or not at all. It holds ``name.train.inter``, ``name.valid.inter``,
    ``name.test.inter`` and ``name.item``, the whole catalogue, for a split; or one ``name.inter`` for RecBole's own
    splitter, all with times where there are any; ``name.yaml``, which tells RecBole all this; and the data card as
    ``name.card.json`` and ``name.card.md``. The same input and arguments give the same bytes; only the YAML file
    depends on where the folder is.

    Args:
        file: the raw file.
        output: the folder in which the data set's folder is made, RecBole's ``data_path``.
        name: the data set's name.
        layout: how the file is read.
        filters: which interactions stay; None is ``Filters()``, users with five or more.
        split: ``paper`` (method section 7); ``temporal``, ``temporal-global`` or ``leave-one-out``, see
            :mod:`~recbole_hetcomp.data.prepare.splits`; or ``none``.
        seed: of the paper's split.
        overwrite: replace a folder that was made by this function.

    Raises:
        FileNotFoundError: there is no such file.
        FileExistsError: the folder is there.
        ValueError: an argument or the file's content is not allowed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     raw = Path(home) / "users.dat"
    ...     _ = raw.write_text("5 1 2 3 4 5\\n" * 4 + "1 7\\n")
    ...     made = prepare(raw, home, "toy", Layout("citeulike"))
    ...     sorted(path.name for path in made.folder.iterdir())[:4], made.card["parts"]["train"]["interactions"]
    (['toy.card.json', 'toy.card.md', 'toy.item', 'toy.test.inter'], 12)
    """
    filters = Filters() if filters is None else filters
    check_names(name, split)
    file, target, mark = Path(file), Path(output) / name, f"{name}.card.json"
    check_free(target, mark, overwrite)
    raw = read(file, _with_usual_columns(layout, filters, split))
    records, drops = apply(raw, filters)
    parts, more = _parts(records, split, seed)
    card = {
        "name": name,
        "input": _account(file),
        "command": command(file.name, name, layout, filters, split, seed),
        "version": __version__,
        "layout": {key: value for key, value in asdict(layout).items() if key not in _LATER or value},
        "filters": asdict(filters),
        "split": split,
        "seed": seed if split == "paper" else None,
        "read": cards.counts(raw),
        "dropped": cards.dropped([*drops, *more]),
        **cards.sizes(records, parts),
    }
    with whole_folder(target, mark, overwrite) as folder:
        card["files"] = {path.name: sha256_of(path) for path in _write_atomic_files(folder, name, records, parts)}
        _write_text(folder / f"{name}.yaml", _settings(target, parts, records))
        _write_text(folder / mark, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
        _write_text(folder / f"{name}.card.md", cards.as_markdown(card))
    return Prepared(target, target / f"{name}.yaml", card)


def _with_usual_columns(layout: Layout, filters: Filters, split: str) -> Layout:
    """A layout of a table that also looks for ratings and times, where they are needed and nobody has named them."""
    looked_for = {"rating_column": filters.threshold is not None, "timestamp_column": split in _BY_TIME}
    allowed = format_named(layout.format).options
    named: dict[str, Any] = {
        name: USUAL_NAME
        for name, needed in looked_for.items()
        if needed and name in allowed and getattr(layout, name) is None
    }
    return replace(layout, **named)


def _account(file: Path) -> dict[str, Any]:
    """Name, size and checksum of the input; of a folder, of all parts that are read."""
    parts = parts_of(file)
    sums = [sha256_of(part) for part in parts]
    whole = sums[0] if not file.is_dir() else hashlib.sha256("".join(sums).encode()).hexdigest()
    return {"file": file.name, "bytes": sum(part.stat().st_size for part in parts), "sha256": whole}


def command(file: str, name: str, layout: Layout, filters: Filters, split: str, seed: int) -> str:
    """The command that makes the data set, without the settings that have their default.

    >>> command("users.dat", "citeulike-t", Layout("citeulike"), Filters(), "paper", 0)
    'hetcomp prepare --format citeulike --input users.dat --output DIR --name citeulike-t --split paper --seed 0'
    """
    words = ["hetcomp", "prepare", "--format", layout.format, "--input", file, "--output", "DIR", "--name", name]
    for settings, default in ((asdict(layout), Layout(layout.format)), (asdict(filters), Filters())):
        for key, value in settings.items():
            if value == getattr(default, key):
                continue
            words.append(f"--{key}")
            if value is not True:
                words.append(",".join(value) if isinstance(value, tuple) else str(value).replace("\t", "\\t"))
    words += ["--split", split] + (["--seed", str(seed)] if split == "paper" else [])
    return " ".join(shlex.quote(word) for word in words)


def check_names(name: str, split: str) -> None:
    """Refuse a name for a data set, or of a split, that is not allowed.

    Raises:
        ValueError: says what is.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"name is {name!r}; allowed: letters, digits, '.', '_' and '-', the first a letter or a digit")
    if name == "ml-100k":
        raise ValueError(
            "name is 'ml-100k'; allowed: another one, as RecBole always loads its own copy under this name"
        )
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; allowed: {', '.join(SPLITS)}")


def _parts(records: Records, split: str, seed: int) -> tuple[dict[str, Records], list[Drop]]:
    if split == "none":
        return {"all": records}, []
    parts, drops = _BY_TIME[split](records) if split in _BY_TIME else paper_split(records, seed)
    return {name: records.keep(parts == part) for name, part in PARTS.items()}, drops


def _write_atomic_files(folder: Path, name: str, records: Records, parts: dict[str, Records]) -> Iterator[Path]:
    if list(parts) == ["all"]:
        yield _write_frame(folder / f"{name}.inter", _frame(records, _times([records])[0]))
        return
    for (part, content), times in zip(parts.items(), _times(list(parts.values()))):
        yield _write_frame(folder / f"{name}.{part}.inter", _frame(content, times))
    catalogue = records.item_ids[pd.unique(records.items)]
    yield _write_frame(folder / f"{name}.item", pd.DataFrame({"item_id:token": catalogue}))


def _times(parts: Sequence[Records]) -> list[np.ndarray | None]:
    """What is written as the times of each part, comparable between them; None where there are none.

    Runs do not load them from parts, for the split is made; models that learn from sequences do.
    """
    known = [part.timestamps for part in parts]
    if any(times is None for times in known):
        return [None] * len(parts)
    written = exact_times(np.concatenate([times for times in known if times is not None]))
    return list(np.split(written, np.cumsum([len(part) for part in parts])[:-1]))


def _frame(records: Records, times: np.ndarray | None) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "user_id:token": records.user_ids[records.users],
        "item_id:token": records.item_ids[records.items],
    }
    if times is not None:
        columns["timestamp:float"] = times
    return pd.DataFrame({**columns, **records.others})


def exact_times(times: np.ndarray) -> np.ndarray:
    """Times that keep their order where they are read as float32, as RecBole does: offsets from the first, or ranks.

    Args:
        times: as the raw file gives them, [n].

    Returns:
        What is written, [n]: seconds since the first where float32 tells them apart, otherwise 0, 1, 2 … in the
        order of the times.

    >>> exact_times(np.array([874965758.0, 874965759.0, 874965758.0])).tolist()
    [0, 1, 0]
    >>> exact_times(np.array([0.0, 1e9, 1e9 + 1])).tolist()
    [0, 1, 2]
    """
    distinct, ranks = np.unique(times, return_inverse=True)
    offsets = distinct - distinct[0]
    if np.array_equal(offsets, offsets.astype(np.int64)):
        offsets = offsets.astype(np.int64)
    kept = len(np.unique(offsets.astype(np.float32))) == len(distinct)
    return offsets[ranks] if kept else ranks


def _write_frame(path: Path, frame: pd.DataFrame) -> Path:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        frame.to_csv(stream, sep="\t", index=False)
    return path


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _settings(target: Path, parts: dict[str, Records], records: Records) -> str:
    """RecBole's settings to load the data set."""
    settings: dict[str, Any] = {"data_path": str(target.parent.resolve())}
    others = [name.rpartition(":")[0] for name in records.others]
    columns = ["user_id", "item_id"]
    if list(parts) == ["all"]:
        times = ["timestamp"] if records.timestamps is not None else []
        settings["load_col"] = {"inter": columns + times + others}
    else:
        settings["benchmark_filename"] = list(parts)
        settings["load_col"] = {"inter": columns + others, "item": ["item_id"]}
    return yaml.safe_dump(settings, sort_keys=False, default_flow_style=None)
