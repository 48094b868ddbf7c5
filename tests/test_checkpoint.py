import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from rlrun.checkpoint import checkpoints, load_checkpoint, save_checkpoint, write_atomically
from rlrun.errors import UserError
from rlrun.testing.agent import same


def test_a_state_comes_back_bit_for_bit_with_its_types(tmp_path: Path) -> None:
    state = {
        "tensor": torch.arange(6, dtype=torch.uint8).reshape(2, 3),
        "array": np.array([[1, -2]], np.int64),
        "scalar_array": np.array(2.5, np.float32),
        "list": [1, 2.5, None, "text", (True, np.arange(2))],
        "nested": {"a": {"b": np.zeros(0, bool)}, 3: "int key"},
    }
    assert same(load_checkpoint(save_checkpoint(tmp_path, 7, state, keep=1)), state)


def test_only_the_newest_are_kept_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        save_checkpoint(tmp_path, step, {}, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-10.pt", "checkpoint-100.pt"]


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file: io.BufferedWriter) -> None:
        file.write(b"half of the new")
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps(Malicious())])
def test_what_is_no_checkpoint_is_refused_and_never_unpickled(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint-1.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(path)
    assert capsys.readouterr().out == ""
