import errno
import io
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from rlrun.files import write_atomically
from rlrun.runs.state_file import DamagedFileError, leaves, peek_state, read_state, verify, write_state
from rlrun.testing.agent import same

STATE = {
    "tensor": torch.arange(6, dtype=torch.uint8).reshape(2, 3),
    "array": np.array([[1, -2]], np.int64),
    "scalar_array": np.array(2.5, np.float32),
    "scalar_tensor": torch.tensor(7),
    "half": torch.tensor([1.5, -2.25], dtype=torch.bfloat16),
    "list": [1, 2.5, None, True, "text", (True, np.arange(2))],
    "nested": {"a": {"b": np.zeros(0, bool)}, 3: "int key", "$": "a key of the format's own"},
    "extremes": [0.1, 1e-320, float("inf"), 2**70, -(2**70)],
    "frames": (torch.arange(5 * 4 * 4) * 37 % 256).to(torch.uint8).reshape(5, 4, 4),
    "empty": torch.zeros(0, 3),
}


@pytest.mark.parametrize("compress", [False, True])
def test_a_state_comes_back_bit_for_bit_with_its_types(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "file"
    write_state(path, STATE, compress=compress)
    back = read_state(path)
    assert same(back, STATE)
    assert isinstance(back["list"][5], tuple)
    assert back["scalar_array"].shape == ()
    assert isinstance(back["list"][3], bool)


def test_tensors_come_back_with_their_strides(tmp_path: Path) -> None:
    numbers = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    tensors = {
        "channels_last": numbers.contiguous(memory_format=torch.channels_last),
        "transposed": numbers[0, 0].T,
        "plain": numbers,
        "of_one": torch.ones(1, 1, 3),
    }
    write_state(tmp_path / "file", tensors, compress=True)
    back = read_state(tmp_path / "file")
    assert same(back, tensors)
    for name, tensor in tensors.items():
        assert back[name].stride() == tensor.stride(), name


def test_nan_comes_back(tmp_path: Path) -> None:
    write_state(tmp_path / "file", {"x": float("nan")}, compress=False)
    assert np.isnan(read_state(tmp_path / "file")["x"])


def test_frames_that_hardly_change_take_little_room(tmp_path: Path) -> None:
    frames = torch.from_numpy(np.random.default_rng(0).integers(256, size=(1, 84, 84), dtype=np.uint8)).repeat(50, 1, 1)
    frames[10:, 3, 3] = 0
    write_state(tmp_path / "file", {"frames": frames}, compress=True)
    assert (tmp_path / "file").stat().st_size < 1.2 * 84 * 84 + 5000, "one frame and its few changes"
    assert same(read_state(tmp_path / "file"), {"frames": frames})


def test_every_changed_byte_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_state(path, STATE, compress=True)
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ (1 << position % 8)]) + whole[position + 1 :])
        with pytest.raises(DamagedFileError):
            read_state(path)


def test_every_cut_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_state(path, STATE, compress=False)
    whole = path.read_bytes()
    for length in [*range(60), *random.Random(0).sample(range(len(whole)), 60)]:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError):
            read_state(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(DamagedFileError):
        read_state(path)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    first = write_state(tmp_path / "a", STATE, compress=True)
    assert first == write_state(tmp_path / "b", STATE, compress=True) == verify(tmp_path / "b")
    assert first != write_state(tmp_path / "c", {**STATE, "more": 1}, compress=True)


def test_single_arrays_can_be_read_without_the_rest(tmp_path: Path) -> None:
    write_state(tmp_path / "file", STATE, compress=True)
    assert same(peek_state(tmp_path / "file")["frames"].read(), STATE["frames"])


def test_what_cannot_be_kept_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"\bset\b"):
        write_state(tmp_path / "file", {"x": {1, 2}}, compress=False)
    assert list(tmp_path.iterdir()) == []


def test_leaves_come_with_their_paths() -> None:
    assert list(leaves({"a": [1, (2, {"b": 3})]})) == [(("a", 0), 1), (("a", 1, 0), 2), (("a", 1, 1, "b"), 3)]


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file: io.BufferedWriter) -> None:
        file.write(b"half of the new")
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOSPC):
        write_atomically(path, fail)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path], "half a file would only be in the way"
