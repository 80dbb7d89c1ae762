"""Files that are no checkpoint of a student, or one of other data: a line that names the file, in every command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from recbole_hetcomp import cli
from recbole_hetcomp.serving.saved import saved_model


class Names:
    """Pickled, a call of what is named."""

    def __reduce__(self):
        return os.mkdir, ("made-by-a-checkpoint",)


def swapped(content):
    users = content["ids"]["user"]
    users[1], users[2] = users[2], users[1]
    return content


def smaller(content):
    content["state_dict"] = {name: value[:-1] for name, value in content["state_dict"].items()}
    return content


MADE = {
    "text": (lambda file, _: file.write_text("hello"), "cannot be read as a checkpoint"),
    "empty": (lambda file, _: file.touch(), "cannot be read as a checkpoint"),
    "folder": (lambda file, _: file.mkdir(), "is a folder: a checkpoint that a run saved"),
    "nothing": (lambda file, _: None, "does not exist"),
    "list": (lambda file, _: torch.save([1], file), "holds no saved model"),
    "other keys": (lambda file, _: torch.save({"a": 1}, file), "holds no saved model"),
    "a call": (lambda file, _: torch.save({"config": Names()}, file), "the file names (posix|nt).mkdir"),
    "fewer users": (
        lambda file, one: torch.save(smaller(one), file),
        "which has changed.*: size mismatch",
    ),
    "other users": (
        lambda file, one: torch.save(swapped(one), file),
        "which has changed.*: it has other users",
    ),
}


@pytest.mark.parametrize("kind", MADE)
def test_what_is_no_checkpoint_of_these_data_is_refused_by_name(kind, finished_run, tmp_path, capsys):
    write, said = MADE[kind]
    file = tmp_path / "some.pth"
    write(file, torch.load(finished_run.checkpoint, weights_only=True))
    with pytest.raises((ValueError, OSError), match=f"some.pth.*{said}"):
        saved_model(file)
    status = cli.main(["recommend", "--checkpoint", str(file), "--users=1", "--to", str(tmp_path / "to.csv")])
    error = capsys.readouterr().err
    assert status == 2
    assert [line for line in error.splitlines() if line.startswith("error: ")] == [error.splitlines()[-1]]
    assert not (tmp_path / "to.csv").exists()
    assert not Path("made-by-a-checkpoint").exists()
