"""Which snapshots are kept, and a store that never hands out anything but what was put in."""

from __future__ import annotations

import copy
import errno
import gc
import json
import math
import multiprocessing
import os
import pickle
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from recbole_hetcomp.core.rankings import PAD
from recbole_hetcomp.trajectories import (
    CorruptTrajectoryError,
    MappedTensors,
    SnapshotSpool,
    Trajectory,
    TrajectoryStore,
    item_dtype,
    rank_dtype,
    select_snapshots,
)
from recbole_hetcomp.trajectories import spool as spool_module
from recbole_hetcomp.trajectories import store as module

SETTINGS = {"learning_rate": 0.001, "layers": [64, 32], "name": "BPR"}
ENTRY = ("fingerprint", "BPR", SETTINGS)


def trajectory(seed: int = 0, served: bool = True) -> Trajectory:
    generator = torch.Generator().manual_seed(seed)
    return Trajectory(
        unobserved=torch.randint(0, 1000, (2, 30, 20), generator=generator, dtype=torch.int32),
        observed_ranks=torch.randint(0, 9, (2, 50), generator=generator).short(),
        epochs=(10, 40),
        scores=(0.1, 0.25),
        served=torch.randint(0, 1000, (30, 5), generator=generator, dtype=torch.int32) if served else None,
        settings=SETTINGS,
        info={"parameters": 1234, "metrics": {"recall@50": 0.25}},
    )


def files_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def same(one: Trajectory, other: Trajectory) -> bool:
    tensors = [t.tensors() for t in (one, other)]
    return (
        tensors[0].keys() == tensors[1].keys()
        and all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
        and all(tensors[0][name].dtype == tensors[1][name].dtype for name in tensors[0])
        and (one.epochs, one.scores, one.info) == (other.epochs, other.scores, other.info)
    )


# Which snapshots


def test_even_takes_the_epochs_nearest_to_an_even_spacing() -> None:
    epochs = [9, 19, 29, 39, 49, 59, 69]
    rising = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.55]
    assert select_snapshots(epochs, rising, 4) == [0, 2, 3, 5]  # 9, 25.7, 42.3, 59
    assert select_snapshots(epochs, rising, 2) == [0, 5]
    assert select_snapshots(epochs, rising, 1) == [5]
    assert select_snapshots(epochs, rising, 6) == [0, 1, 2, 3, 4, 5]
    assert select_snapshots(epochs, rising, 100) == [0, 1, 2, 3, 4, 5]


def test_quality_takes_the_scores_nearest_to_an_even_spacing() -> None:
    epochs = [10, 20, 30, 40, 50, 60]
    scores = [
        0.0,
        0.7,
        0.5,
        0.8,
        0.9,
        0.1,
    ]  # the third is worse than one before it, the last is past the best
    assert select_snapshots(epochs, scores, 4, "quality") == [0, 1, 4]  # 0, 0.3, 0.6, 0.9
    assert select_snapshots(epochs, scores, 2, "quality") == [0, 4]


def test_the_last_of_equal_best_scores_counts_and_small_scores_can_be_better() -> None:
    assert select_snapshots([1, 2, 3, 4], [0.5, 0.9, 0.9, 0.1], 1) == [2]
    assert select_snapshots([1, 2, 3, 4], [0.5, 0.2, 0.1, 0.3], 2, bigger=False) == [0, 2]
    assert select_snapshots([1, 2, 3], [5.0, 3.0, 1.0], 3, "quality", bigger=False) == [0, 1, 2]
    assert select_snapshots([1, 2, 3], [9.0, 3.0, 1.0], 4) == [0]
    assert select_snapshots([7], [0.0], 4, "quality") == [0]


@settings(max_examples=100, deadline=None)
@given(
    scores=st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    start=st.integers(0, 20),
    every=st.integers(1, 10),
    count=st.integers(1, 12),
    spacing=st.sampled_from(["even", "quality"]),
    bigger=st.booleans(),
)
def test_kept_snapshots_ascend_from_the_first_to_the_best(
    scores: list[float], start: int, every: int, count: int, spacing: str, bigger: bool
) -> None:
    epochs = [start + every * index for index in range(len(scores))]
    kept = select_snapshots(epochs, scores, count, spacing, bigger)
    best = (max if bigger else min)(scores)
    assert kept[-1] == max(index for index, score in enumerate(scores) if score == best)
    assert all(earlier < later for earlier, later in zip(kept, kept[1:]))
    assert 1 <= len(kept) <= count
    if count > 1 and spacing == "even":
        assert kept[0] == 0
        assert len(kept) == min(count, kept[-1] + 1)  # evenly recorded epochs: nothing is lost


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], [0.1], 0), "count is 0"),
        (([1], [0.1], 1, "random"), "'random'; allowed: even, quality"),
        (([], [], 1), "0 epochs"),
        (([1, 2], [0.1], 1), "2 epochs and 1 scores"),
        (([2, 1], [0.1, 0.2], 1), "ascending"),
        (([1, 2], [0.1, math.nan], 1), "allowed: numbers"),
    ],
)
def test_selection_refuses(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_snapshots(*arguments)


# A trajectory


def test_a_trajectory_checks_its_parts() -> None:
    lists, ranks = torch.zeros(2, 3, 4, dtype=torch.int32), torch.zeros(2, 5, dtype=torch.int16)
    Trajectory(lists, ranks, (1, 2), (0.1, 0.2))
    bad = [
        ({"unobserved": lists.long()}, "int64"),
        ({"observed_ranks": ranks.float()}, "float32"),
        ({"unobserved": lists[0]}, r"shapes \(3, 4\)"),
        ({"epochs": (1,)}, "snapshots"),
        ({"observed_ranks": ranks[:1]}, "snapshots"),
        ({"served": torch.zeros(2, 4, dtype=torch.int32)}, r"served is .* allowed: int16 or int32, \[3, T\]"),
        ({"served": torch.zeros(3, 4)}, "served is torch.float32"),
    ]
    for change, message in bad:
        parts = {"unobserved": lists, "observed_ranks": ranks, "epochs": (1, 2), "scores": (0.1, 0.2)}
        with pytest.raises(ValueError, match=message):
            Trajectory(**{**parts, **change})


def test_ranks_take_sixteen_bits_while_they_fit() -> None:
    assert rank_dtype(0) == rank_dtype(2**15 - 1) == torch.int16
    assert rank_dtype(2**15) == torch.int32


def test_items_take_sixteen_bits_while_their_ids_fit() -> None:
    for n_items, expected in [(0, torch.int16), (2**15, torch.int16), (2**15 + 1, torch.int32)]:
        assert item_dtype(n_items) == expected
        assert torch.iinfo(expected).max >= n_items - 1


# The store


@pytest.mark.parametrize("served", [True, False])
def test_what_is_read_is_what_was_written(tmp_path: Path, served: bool) -> None:
    store = TrajectoryStore(tmp_path)
    assert store.read(*ENTRY) is None
    path = store.write(*ENTRY, trajectory(served=served))
    assert path == store.path(*ENTRY)
    assert files_below(path) == ["manifest.json", "trajectory.safetensors"]
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o755  # others who share the store can read it
    found = TrajectoryStore(str(tmp_path)).read(*ENTRY)
    assert found is not None
    assert same(found, trajectory(served=served))
    assert found.settings == SETTINGS
    assert os.listdir(tmp_path / "fingerprint") == [path.name]


def test_short_ids_are_kept_short_and_long_ones_long(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    long = trajectory()
    short = Trajectory(
        long.unobserved.short(), long.observed_ranks, long.epochs, long.scores, long.unobserved[0].short()
    )
    for number, written in enumerate([long, short]):
        store.write("fingerprint", f"T{number}", {}, written)
        found = store.read("fingerprint", f"T{number}", {})
        assert found is not None
        assert found.unobserved.dtype == written.unobserved.dtype
        assert torch.equal(found.unobserved.long(), long.unobserved.long())


def test_other_data_another_name_or_other_settings_are_another_entry(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    store.write(*ENTRY, trajectory())
    assert store.read("other", "BPR", SETTINGS) is None
    assert store.read("fingerprint", "CML", SETTINGS) is None
    assert store.read("fingerprint", "BPR", {**SETTINGS, "learning_rate": 0.002}) is None
    for alike in (dict(reversed(SETTINGS.items())), {**SETTINGS, "layers": (64, 32)}):  # JSON has no tuples
        found = store.read("fingerprint", "BPR", alike)
        assert found is not None
        assert same(found, trajectory())


@pytest.mark.parametrize("name", ["", "../BPR", "a/b", ".hidden", "a\0b"])
def test_names_that_are_no_file_names_are_refused(tmp_path: Path, name: str) -> None:
    store = TrajectoryStore(tmp_path)
    for entry in [(name, "BPR", {}), ("fingerprint", name, {})]:
        with pytest.raises(ValueError, match="allowed: letters"):
            store.path(*entry)


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    for value in (math.nan, torch.zeros(1), {1, 2}):
        with pytest.raises(ValueError, match="plain JSON"):
            store.write("fingerprint", "BPR", {"a": value}, trajectory())
    assert files_below(tmp_path) == []


def test_tensors_are_mapped_from_the_file_and_private(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    path = store.write(*ENTRY, trajectory())
    found = store.read(*ENTRY)
    assert found is not None
    maps = Path("/proc/self/maps")
    if maps.exists():
        address = found.unobserved.data_ptr()
        regions = [line.split() for line in maps.read_text().splitlines()]
        holding = [
            region
            for region in regions
            if int(region[0].split("-")[0], 16) <= address < int(region[0].split("-")[1], 16)
        ]
        assert holding[0][-1] == str(path / "trajectory.safetensors")
    found.unobserved[0, 0, 0] = -7
    again = store.read(*ENTRY)
    assert again is not None
    assert same(again, trajectory())


def stored(tmp_path: Path, count: int = 3) -> list[Trajectory]:
    store = TrajectoryStore(tmp_path)
    for seed in range(count):
        store.write("fingerprint", f"T{seed}", {}, trajectory(seed))
    return [store.open(entry) for entry in store.entries()]


@pytest.mark.parametrize("name", ["unobserved", "observed_ranks", "served"])
def test_tensors_mapped_anew_are_those_written(tmp_path: Path, name: str) -> None:
    tensors = MappedTensors(stored(tmp_path), name)
    expected = [trajectory(seed).tensors()[name] for seed in range(3)]
    assert len(tensors) == 3
    for found in (list(tensors), tensors[:], [tensors[-3], tensors[1], tensors[2]]):
        assert all(one.dtype == other.dtype and torch.equal(one, other) for one, other in zip(found, expected))
    tensors[0].fill_(0)  # private
    assert torch.equal(tensors[0], expected[0])
    with pytest.raises(IndexError):
        tensors[3]


def test_what_was_opened_stays_readable_whatever_becomes_of_the_entry(tmp_path: Path) -> None:
    tensors = MappedTensors(stored(tmp_path, 1))
    store = TrajectoryStore(tmp_path)
    store.remove("fingerprint", "T0", {})
    store.write("fingerprint", "T0", {}, trajectory(seed=7))
    assert torch.equal(tensors[0], trajectory(seed=0).unobserved)


def test_tensors_in_memory_are_handed_out_and_empty_ones_mapped(tmp_path: Path) -> None:
    bare = Trajectory(torch.zeros(1, 2, 3).short(), torch.zeros(1, 0).short(), (1,), (0.5,), torch.zeros(2, 0).short())
    assert MappedTensors([bare])[0] is bare.unobserved
    store = TrajectoryStore(tmp_path)
    store.write(*ENTRY, bare)
    found = store.read(*ENTRY)
    assert found is not None
    for name, shape in [("observed_ranks", (1, 0)), ("served", (2, 0)), ("unobserved", (1, 2, 3))]:
        assert MappedTensors([found, bare], name)[0].shape == shape
    assert len(MappedTensors([])) == 0


def test_mapping_refuses(tmp_path: Path) -> None:
    bare = trajectory(served=False)
    with pytest.raises(ValueError, match="tensor is 'served'; allowed: observed_ranks, unobserved"):
        MappedTensors([bare], "served")
    found = stored(tmp_path, 1)
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.deepcopy(MappedTensors(found))
    assert found[0].file is not None
    other = Trajectory(bare.unobserved[:, :9], bare.observed_ranks, bare.epochs, bare.scores)
    replacement = TrajectoryStore(tmp_path / "other").write(*ENTRY, other)
    os.replace(replacement / "trajectory.safetensors", found[0].file)
    with pytest.raises(CorruptTrajectoryError, match="replaced"):
        MappedTensors(found)
    found[0].file.write_bytes(b"rot")
    with pytest.raises(CorruptTrajectoryError, match="cannot be mapped"):
        MappedTensors(found)
    found[0].file.unlink()
    with pytest.raises(CorruptTrajectoryError, match="cannot be mapped"):
        MappedTensors(found)


def _resident_file_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
def test_only_the_tensor_in_hand_is_resident(tmp_path: Path) -> None:
    store, size = TrajectoryStore(tmp_path), 16 * 2**20
    lists = torch.ones(1, 2**12, size // 2**13, dtype=torch.int16)
    for m in range(4):
        store.write("fingerprint", f"T{m}", {}, Trajectory(lists, torch.zeros(1, 9).short(), (1,), (0.5,)))
    tensors = MappedTensors([store.open(entry) for entry in store.entries()])
    before, seen = _resident_file_bytes(), []
    for tensor in tensors:
        assert int(tensor.sum()) == lists.numel()
        seen.append(_resident_file_bytes() - before)
    assert 0.8 * size < max(seen) < 1.5 * size
    del tensor
    gc.collect()
    assert _resident_file_bytes() - before < 0.2 * size


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads Linux's list of open files")
def test_mapping_leaves_no_file_open(tmp_path: Path) -> None:
    found = stored(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    tensors = MappedTensors(found)
    held = [tensors[0] for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) > before
    del tensors, held
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_every_flipped_byte_of_the_tensors_is_found(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    file = store.write(*ENTRY, trajectory()) / "trajectory.safetensors"
    content = file.read_bytes()
    for place in range(0, len(content), 97):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(CorruptTrajectoryError, match=r"trajectory\.safetensors: altered"):
            store.read(*ENTRY)
    file.write_bytes(content)
    assert store.read(*ENTRY) is not None


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, -1])
def test_truncated_tensors_are_found(tmp_path: Path, length: int) -> None:
    store = TrajectoryStore(tmp_path)
    file = store.write(*ENTRY, trajectory()) / "trajectory.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(CorruptTrajectoryError, match=r"trajectory\.safetensors: truncated"):
        store.read(*ENTRY)


def test_missing_files_are_found(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    path = store.write(*ENTRY, trajectory())
    (path / "trajectory.safetensors").unlink()
    with pytest.raises(CorruptTrajectoryError, match=r"trajectory\.safetensors: unreadable"):
        store.read(*ENTRY)
    (path / "manifest.json").unlink()
    with pytest.raises(CorruptTrajectoryError, match=r"manifest\.json: unreadable"):
        store.read(*ENTRY)


def test_every_changed_byte_of_the_manifest_is_found(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    file = store.write(*ENTRY, trajectory()) / "manifest.json"
    text = file.read_bytes()
    for place in range(len(text)):
        if not chr(text[place]).isalnum():
            continue
        file.write_bytes(text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :])
        with pytest.raises(CorruptTrajectoryError, match=r"manifest\.json: "):
            store.read(*ENTRY)
    for content in (b"", text[:-20], b"[]", b"null", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(CorruptTrajectoryError, match=r"manifest\.json: "):
            store.read(*ENTRY)


def test_an_entry_moved_from_other_data_or_settings_is_found(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    for label, entry in [
        ("fingerprint", ("other", "BPR", SETTINGS)),
        ("name", ("fingerprint", "CML", SETTINGS)),
        ("settings", ("fingerprint", "BPR", {})),
    ]:
        path = store.write(*ENTRY, trajectory())
        store.path(*entry).parent.mkdir(exist_ok=True)
        path.rename(store.path(*entry))
        with pytest.raises(CorruptTrajectoryError, match=f"{label} is "):
            store.read(*entry)


def test_a_later_format_is_refused_by_name(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    file = store.write(*ENTRY, trajectory()) / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["format"] = 99
    file.write_text(json.dumps(manifest))
    with pytest.raises(CorruptTrajectoryError, match="format is 99; this version reads 1"):
        store.read(*ENTRY)


def test_a_sound_file_that_holds_no_trajectory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trajectory, "tensors", lambda self: {"unobserved": self.unobserved})
    store = TrajectoryStore(tmp_path)
    store.write(*ENTRY, trajectory())
    with pytest.raises(CorruptTrajectoryError, match="not a trajectory"):
        store.read(*ENTRY)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "exploded",))

    store = TrajectoryStore(tmp_path)
    path = store.write(*ENTRY, trajectory())
    manifest = json.loads((path / "manifest.json").read_text())
    content = pickle.dumps(Bomb())
    (path / "trajectory.safetensors").write_bytes(content)
    manifest.pop("checksum")
    manifest["bytes"], manifest["sha256"] = len(content), module.sha256_of(path / "trajectory.safetensors")
    manifest["checksum"] = module._checksum(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptTrajectoryError, match="not a trajectory"):
        store.read(*ENTRY)
    assert not (tmp_path / "exploded").exists()


def test_a_sound_entry_is_kept_and_a_corrupt_one_is_put_aside(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    path = store.write(*ENTRY, trajectory(seed=1))
    store.write(*ENTRY, trajectory(seed=2))
    found = store.read(*ENTRY)
    assert found is not None
    assert same(found, trajectory(seed=1))
    (path / "trajectory.safetensors").write_bytes(b"rot")
    store.write(*ENTRY, trajectory(seed=2))
    found = store.read(*ENTRY)
    assert found is not None
    assert same(found, trajectory(seed=2))
    aside = [name for name in os.listdir(path.parent) if ".corrupt-" in name]
    assert len(aside) == 1
    assert (path.parent / aside[0] / "trajectory.safetensors").read_bytes() == b"rot"


def test_quarantine_and_remove(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    assert store.quarantine(*ENTRY) is None
    assert store.remove(*ENTRY) is False
    store.write(*ENTRY, trajectory())
    found = store.read(*ENTRY)
    assert store.remove(*ENTRY) is True
    assert files_below(tmp_path) == []
    assert found is not None
    assert same(found, trajectory())  # still mapped
    path = store.write(*ENTRY, trajectory())
    aside = store.quarantine(*ENTRY)
    assert aside is not None
    assert aside.name.startswith(f"{path.name}.corrupt-")
    assert len(files_below(aside)) == 2
    assert store.read(*ENTRY) is None


class Killed(BaseException):
    """Stands for a KeyboardInterrupt."""


@pytest.mark.parametrize("where", ["save_file", "sync_file", "sha256_of", "_checksum", "sync_directory"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Killed()])
def test_a_crash_while_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    store = TrajectoryStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, where, fail)
        with pytest.raises(type(error)) as caught:
            store.write(*ENTRY, trajectory())
    assert os.listdir(tmp_path / "fingerprint") == []
    if isinstance(error, OSError):
        assert caught.value.errno == errno.ENOSPC
        needed = sum(t.numel() * t.element_size() for t in trajectory().tensors().values())
        for part in (str(store.path(*ENTRY)), "No space left", f"{needed} bytes needed", "free"):
            assert part in str(caught.value)
    assert store.read(*ENTRY) is None
    store.write(*ENTRY, trajectory())
    assert store.read(*ENTRY) is not None


def test_an_entry_is_on_the_disk_before_it_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    for name in ("sync_file", "sync_directory"):
        monkeypatch.setattr(module, name, lambda path: synced.append(path.name))
    entry = TrajectoryStore(tmp_path).write(*ENTRY, trajectory())
    assert synced[:2] == ["trajectory.safetensors", "manifest.json"]
    assert synced[2].startswith(f".writing-{entry.name}-")
    assert synced[3:] == ["fingerprint"]


def test_a_full_disk_reported_by_safetensors_is_an_oserror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    for writer in (module, spool_module):
        monkeypatch.setattr(writer, "save_file", fail)
    with pytest.raises(OSError, match="bytes needed") as caught:
        TrajectoryStore(tmp_path).write(*ENTRY, trajectory())
    assert caught.value.errno == errno.ENOSPC
    with SnapshotSpool(tmp_path) as spool, pytest.raises(OSError, match="bytes needed") as caught:
        spool.append(1, 0.5, torch.zeros(1, 1), torch.zeros(1))
    assert caught.value.errno == errno.ENOSPC
    assert len(spool) == 0
    assert files_below(tmp_path) == []


def test_what_a_killed_writer_left_is_never_read_and_from_another_machine_goes_after_a_day(tmp_path: Path) -> None:
    store = TrajectoryStore(tmp_path)
    entry = store.path(*ENTRY)
    old, young = (entry.parent / f".writing-{entry.name}-{name}" for name in ("old", "young"))
    for directory in (old, young):
        directory.mkdir(parents=True)
        (directory / "trajectory.safetensors").write_bytes(b"half")
        (directory / "manifest.json").write_text("{}")
    assert store.entries() == []
    os.utime(old, (0, time.time() - 2 * 24 * 3600))
    assert store.read(*ENTRY) is None
    store.write(*ENTRY, trajectory())
    assert not old.exists()
    assert young.exists()  # its writer may be at work


def _write_repeatedly(root: str, seed: int) -> None:
    store = TrajectoryStore(root)
    for _ in range(5):
        store.write(*ENTRY, trajectory(seed))
        found = store.read(*ENTRY)
        if found is None or not any(same(found, trajectory(seed)) for seed in range(3)):
            raise AssertionError("a reader saw what nobody wrote")


def test_writers_of_one_entry_at_once_are_harmless(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    writers = [context.Process(target=_write_repeatedly, args=(str(tmp_path), seed)) for seed in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert os.listdir(tmp_path / "fingerprint") == [TrajectoryStore(tmp_path).path(*ENTRY).name]


# The spool


def test_the_spool_keeps_chosen_validations_and_deletes_itself(tmp_path: Path) -> None:
    with SnapshotSpool(tmp_path / "scratch") as spool:
        for index, score in enumerate([0.1, 0.3, 0.2, 0.4, 0.35]):
            spool.append(10 * index, score, torch.full((3, 4), index), torch.arange(5) + index)
        assert len(spool) == 5
        assert len(files_below(tmp_path)) == 5
        unobserved, ranks, epochs, scores = spool.build(3)
        assert unobserved.dtype == torch.int16
        assert unobserved[:, 0, 0].tolist() == [0, 1, 3]
        assert ranks.dtype == torch.int16
        assert ranks.tolist() == [[i, i + 1, i + 2, i + 3, i + 4] for i in (0, 1, 3)]
        assert (epochs, scores) == ((0, 10, 30), (0.1, 0.3, 0.4))
        assert spool.build(2, "quality", bigger=False)[2] == (0,)
    assert files_below(tmp_path) == []
    spool.close()
    assert unobserved[2, 0, 0].item() == 3  # a copy, not a map of what is gone
    Trajectory(unobserved, ranks, epochs, scores)


def test_the_spool_deletes_itself_when_training_fails(tmp_path: Path) -> None:
    def train() -> None:
        with SnapshotSpool(tmp_path) as spool:
            spool.append(1, 0.5, torch.zeros(1, 1), torch.zeros(0))
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        train()
    assert os.listdir(tmp_path) == []


def test_spools_in_one_directory_do_not_meet_and_long_rows_take_more_bits(tmp_path: Path) -> None:
    with SnapshotSpool(tmp_path) as one, SnapshotSpool(tmp_path) as other:
        one.append(1, 0.5, torch.zeros(1, 1), torch.tensor([2**15 - 2]))
        other.append(1, 0.5, torch.ones(1, 1), torch.tensor([2**15 - 1]))
        assert one.build(1)[1].dtype == torch.int16
        assert other.build(1)[1].dtype == torch.int32
        assert other.build(1)[1].item() == 2**15 - 1
    with SnapshotSpool(tmp_path) as mixed:
        for epoch, item in enumerate([2**15, 3, PAD, 2**15 - 1]):
            mixed.append(epoch, 0.1 * epoch, torch.tensor([[item, PAD]]), torch.tensor([0]))
        unobserved = mixed.build(4)[0]
        assert unobserved.dtype == torch.int32
        assert unobserved[:, 0, 0].tolist() == [2**15, 3, PAD, 2**15 - 1]
        assert mixed.build(4, bigger=False)[0].dtype == torch.int32  # the first alone
    with SnapshotSpool(tmp_path) as empty, pytest.raises(ValueError, match="0 epochs"):
        empty.build(1)
