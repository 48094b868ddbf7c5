import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from rlrun.errors import UserError
from rlrun.replay.ring import Ring, newest, refill
from rlrun.runs import checkpoint
from rlrun.runs.checkpoint import Checkpoints
from rlrun.runs.state_file import peek_state
from rlrun.testing.agent import same

MINE = {"experiment": "abc", "seed": 3}


def ring_of(size: int, stop: int, width: int = 3) -> Ring:
    """Row number i holds the number i, as bytes."""
    tensor = torch.zeros(size, width, dtype=torch.uint8)
    for number in range(stop):
        tensor[number % size] = number % 251
    return newest(tensor, stop)


def rows_of(ring: Any) -> list[tuple[int, int]]:
    return [(number + i, int(row[0])) for number, rows in ring.pieces() for i, row in enumerate(rows)]


def no_warning(line: str) -> None:
    raise AssertionError(line)


def reopened(folder: Path) -> Checkpoints:
    return Checkpoints(folder, MINE, keep=2)


def test_only_the_newest_are_kept_in_the_order_of_their_steps(tmp_path: Path) -> None:
    saved = reopened(tmp_path)
    for step in (9, 10, 100):
        saved.save(step, {})
    assert [path.name for path in saved.paths()] == ["step-10.state", "step-100.state"]


def test_a_ring_is_saved_in_parts_that_hold_only_what_is_new(tmp_path: Path) -> None:
    saved = reopened(tmp_path)
    saved.save(1, {"agent": {"ring": ring_of(10, 4)}})
    saved.save(2, {"agent": {"ring": ring_of(10, 9)}})
    parts = sorted((tmp_path / "checkpoints").glob("*.part"))
    held = [peek_state(path)["agent/ring"] for path in parts]
    assert [[(number, unread.entry["shape"][0]) for number, unread in piece] for piece in held] == [[(0, 4)], [(4, 5)]]
    loaded = reopened(tmp_path).newest_sound(no_warning)
    assert loaded is not None
    assert rows_of(loaded["agent"]["ring"]) == [(i, i) for i in range(9)]


def test_parts_that_nothing_needs_any_more_are_removed(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path, MINE, keep=1)
    for step in range(1, 30):
        saved.save(step, {"ring": ring_of(10, 3 * step)})
        files = sorted((tmp_path / "checkpoints").glob("*.part"))
        assert len(files) <= 5, "ten rows are in at most five parts of three"
    loaded = reopened(tmp_path).newest_sound(no_warning)
    assert loaded is not None
    assert rows_of(loaded["ring"]) == [(i, i % 251) for i in range(77, 87)]


def test_a_refilled_ring_has_every_row_where_it_was(tmp_path: Path) -> None:
    for stop in (0, 1, 9, 10, 11, 25, 40):
        ring = ring_of(10, stop)
        folder = tmp_path / str(stop)
        folder.mkdir()
        reopened(folder).save(1, {"ring": ring})
        loaded = reopened(folder).newest_sound(no_warning)
        assert loaded is not None
        target = torch.zeros_like(ring.tensor)
        refill(target, loaded["ring"])
        assert torch.equal(target, ring.tensor), f"after {stop} rows"
        assert same(loaded["ring"], ring)


def test_large_rings_are_cut_into_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_PIECE_BYTES", 6)  # two rows
    reopened(tmp_path).save(1, {"ring": ring_of(10, 17)})
    loaded = reopened(tmp_path).newest_sound(no_warning)
    assert loaded is not None
    assert rows_of(loaded["ring"]) == [(i, i) for i in range(7, 17)]
    assert max(len(rows) for _, rows in loaded["ring"].pieces()) == 2


def test_a_resumed_run_goes_on_with_the_parts_there_are(tmp_path: Path) -> None:
    reopened(tmp_path).save(1, {"ring": ring_of(10, 6)})
    again = reopened(tmp_path)
    assert again.newest_sound(no_warning) is not None
    again.save(2, {"ring": ring_of(10, 8)})
    newest_part = peek_state(tmp_path / "checkpoints" / "replay-2-1.part")
    assert [(number, unread.entry["shape"][0]) for number, unread in newest_part["ring"]] == [(6, 2)]


def spoil(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("which", ["step-2.state", "replay-2-1.part"])
@pytest.mark.parametrize("how", ["byte", "cut", "gone", "empty"])
def test_a_damaged_checkpoint_makes_way_for_the_one_before(tmp_path: Path, which: str, how: str) -> None:
    saved = reopened(tmp_path)
    saved.save(1, {"step": 1, "ring": ring_of(10, 3)})
    saved.save(2, {"step": 2, "ring": ring_of(10, 5)})
    path = tmp_path / "checkpoints" / which
    if how == "byte":
        spoil(path, path.stat().st_size // 2)
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: -1 if how == "cut" else 0])
    said: list[str] = []
    loaded = reopened(tmp_path).newest_sound(said.append)
    assert loaded is not None
    assert loaded["step"] == 1
    assert rows_of(loaded["ring"]) == [(0, 0), (1, 1), (2, 2)]
    if (which, how) == ("step-2.state", "gone"):
        assert said == []  # nobody can know that it was there
    else:
        assert len(said) == 1
        assert which in said[0]
        assert said[0].endswith("from step 1")


def test_of_unusable_ones_only_the_latest_are_kept_aside(tmp_path: Path) -> None:
    saved = reopened(tmp_path)
    for step in (1, 2):
        saved.save(step, {"step": step})
    for spoilt in (2, 3):
        spoil(tmp_path / "checkpoints" / f"step-{spoilt}.state", 30)
        said: list[str] = []
        saved = reopened(tmp_path)
        loaded = saved.newest_sound(said.append)
        assert loaded is not None
        assert loaded["step"] == 1
        assert len(said) == 1
        assert aside(tmp_path) == [f"step-{spoilt}.state.damaged"]
        saved.save(3, {"step": 3})


def aside(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").glob("*.damaged"))


def test_who_only_reads_moves_nothing(tmp_path: Path) -> None:
    saved = reopened(tmp_path)
    saved.save(1, {})
    saved.save(2, {})
    spoil(tmp_path / "checkpoints" / "step-2.state", 20)
    before = sorted((tmp_path / "checkpoints").iterdir())
    said: list[str] = []
    assert reopened(tmp_path).newest_sound(said.append, move_aside=False) is not None
    assert len(said) == 1
    assert sorted((tmp_path / "checkpoints").iterdir()) == before


def test_where_none_is_sound_nothing_is_guessed(tmp_path: Path) -> None:
    reopened(tmp_path).save(1, {})
    spoil(tmp_path / "checkpoints" / "step-1.state", 20)
    with pytest.raises(UserError, match=r"step-1\.state.*fresh=true"):
        reopened(tmp_path).newest_sound(no_warning)
    assert (tmp_path / "checkpoints" / "step-1.state").exists(), "what cannot be used is left for a person to look at"


def test_a_run_without_checkpoints_starts_afresh(tmp_path: Path) -> None:
    assert reopened(tmp_path).newest_sound(no_warning) is None


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"experiment": "abc", "seed": 4}, keep=2).save(1, {})
    with pytest.raises(UserError, match=r"step-1\.state .*\bseed\b.*\b4\b.*\b3\b"):
        reopened(tmp_path).newest_sound(no_warning)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    reopened(tmp_path).save(1, {})
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"step-1\.state "):
        reopened(tmp_path).newest_sound(no_warning)


def test_a_full_disk_leaves_the_checkpoint_before_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = reopened(tmp_path)
    saved.save(1, {"step": 1})

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_state", full)
    with pytest.raises(UserError, match=rf"step 2 in {tmp_path}.*\({os.strerror(errno.ENOSPC)}\)"):
        saved.save(2, {"step": 2})
    loaded = reopened(tmp_path).newest_sound(no_warning)
    assert loaded is not None
    assert loaded["step"] == 1


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps(Malicious())])
def test_what_is_no_checkpoint_is_refused_and_never_unpickled(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "step-1.state").write_bytes(content)
    with pytest.raises(UserError, match=r"step-1\.state "):
        reopened(tmp_path).newest_sound(no_warning)
    assert capsys.readouterr().out == ""
