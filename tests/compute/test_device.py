"""Devices are checked for being there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import rlrun.compute.cores
from rlrun.compute.cores import available_cores
from rlrun.compute.device import Device
from rlrun.errors import UserError


def make(**changes: Any) -> Device:
    return Device(
        **{
            "kind": "cpu",
            "num_threads": None,
            "deterministic": False,
            "compile": "none",
            "precision": "float32",
            **changes,
        }
    )


IMAGES = (4, 84, 84)


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], None]:
    """Sets how many cores there are, and how many of them other work keeps busy."""

    def there_are(cores: int, busy: float) -> None:
        monkeypatch.setattr(rlrun.compute.cores, "_allowed", lambda: list(range(cores)))
        monkeypatch.setattr("rlrun.compute.cores.psutil.cpu_count", lambda logical=True: cores)
        monkeypatch.setattr(rlrun.compute.cores, "_control_groups", lambda: iter(()))
        monkeypatch.setattr(rlrun.compute.cores, "busy_cores", lambda: busy)

    return there_are


def test_vectors_get_one_thread_and_images_every_core_of_an_idle_machine(
    others: Callable[[int, float], None], caplog: pytest.LogCaptureFixture
) -> None:
    others(8, 0.4)
    device = make()
    assert device.threads_for((4,)) == 1
    assert device.threads_for(()) == 1
    assert device.threads_for(IMAGES) == 8
    assert make(num_threads=1).threads_for(IMAGES) == 1
    assert caplog.messages == []


@pytest.mark.parametrize(("busy", "threads"), [(0.6, 7), (3.1, 5), (7.0, 1), (8.0, 1)])
def test_images_leave_busy_cores_alone_and_say_so_once(
    others: Callable[[int, float], None], caplog: pytest.LogCaptureFixture, busy: float, threads: int
) -> None:
    others(8, busy)
    device = make()
    assert device.threads_for((4,)) == 1
    assert caplog.messages == []
    assert device.threads_for(IMAGES) == threads
    others(8, 0.0)  # it stays as it began
    assert device.threads_for(IMAGES) == threads
    (line,) = caplog.messages
    assert f"{8 - threads} of 8 cores busy" in line
    assert "num_threads=8" in line


def test_the_threads_that_a_run_began_with_or_asked_for_do_not_depend_on_other_work(
    others: Callable[[int, float], None], caplog: pytest.LogCaptureFixture
) -> None:
    others(8, 8.0)
    resumed = make()
    resumed.keep_threads(6)
    assert resumed.threads_for(IMAGES) == 6
    assert make(num_threads=8).threads_for(IMAGES) == 8
    assert caplog.messages == []


def test_activating_sets_the_threads_of_torch(others: Callable[[int, float], None]) -> None:
    others(2, 0.0)
    before = torch.get_num_threads()
    try:
        make().activate(IMAGES)
        assert torch.get_num_threads() == 2
        make().activate((4,))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_more_threads_than_cores_are_refused() -> None:
    with pytest.raises(UserError, match=rf"num_threads={available_cores() + 1}\b.* {available_cores()}\b"):
        make(num_threads=available_cores() + 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused_and_auto_does_without() -> None:
    with pytest.raises(UserError, match=r"kind=cuda.*NVIDIA"):
        make(kind="cuda")
    assert make(kind="auto").torch_device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_that_is_there_is_used_unless_the_cpu_was_asked_for() -> None:
    assert make(kind="cuda").torch_device.type == "cuda"
    assert make(kind="auto").torch_device.type == "cuda"
    assert make(kind="cpu").torch_device.type == "cpu"


def test_graphs_are_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for kind in ("cpu", "auto"):
        with pytest.raises(UserError, match=r"compile=graphs needs an NVIDIA GPU"):
            make(kind=kind, compile="graphs")


def test_inductor_is_refused_without_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("rlrun.compute.device.shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("rlrun.compute.device.Path.is_file", lambda path: True)
    monkeypatch.setattr("rlrun.compute.device.importlib.util.find_spec", lambda name: None)
    make(kind="cpu", compile="inductor")
    with pytest.raises(UserError, match="triton"):
        make(kind="cuda", compile="inductor")
    monkeypatch.setattr("rlrun.compute.device.Path.is_file", lambda path: False)
    with pytest.raises(UserError, match="headers"):
        make(kind="cpu", compile="inductor")
    monkeypatch.setattr("rlrun.compute.device.shutil.which", lambda name: None)
    with pytest.raises(UserError, match=r"C\+\+"):
        make(kind="cpu", compile="inductor")
    monkeypatch.setenv("CXX", "nosuch")
    with pytest.raises(UserError, match="CXX=nosuch"):
        make(kind="cpu", compile="inductor")


def test_functions_are_recorded_on_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("rlrun.compute.device._require_compiler", lambda *, on_gpu: None)
    layer = torch.nn.Linear(1, 1)

    def records(**keys: Any) -> bool:
        return make(**keys).execution.acting(layer.forward, layer) != layer.forward

    assert records(kind="cuda", compile="graphs")
    assert records(kind="cuda", compile="inductor")
    assert not records(kind="cuda")
    assert not records(kind="cpu", compile="inductor")


@pytest.fixture
def a_gpu_is_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """And what runs leave behind in the process is as it was afterwards."""
    flags, threads = flags_of_torch(), torch.get_num_threads()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    torch.use_deterministic_algorithms(flags["deterministic"])
    torch.utils.deterministic.fill_uninitialized_memory = flags["fills memory"]  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = flags["benchmark"]
    torch.backends.cudnn.allow_tf32 = flags["tf32"]
    torch.set_num_threads(threads)


def flags_of_torch() -> dict[str, bool]:
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "fills memory": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "benchmark": torch.backends.cudnn.benchmark,
        "tf32": torch.backends.cudnn.allow_tf32,
    }


@pytest.mark.usefixtures("a_gpu_is_found")
def test_every_run_says_anew_which_kernels_are_wanted() -> None:
    exact = {"deterministic": True, "fills memory": False, "benchmark": False, "tf32": False}
    quick = {"deterministic": False, "fills memory": True, "benchmark": True, "tf32": False}
    on_cpu = {"deterministic": False, "fills memory": True, "benchmark": False, "tf32": False}
    runs: list[tuple[str, bool, dict[str, bool]]] = [
        ("cuda", False, quick),
        ("cuda", True, exact),
        ("cpu", True, on_cpu),
        ("cuda", True, exact),
        ("cuda", False, quick),
        ("cpu", False, on_cpu),
    ]
    for kind, deterministic, wanted in runs:
        torch.backends.cudnn.allow_tf32 = True
        make(kind=kind, deterministic=deterministic).activate((4,))
        assert flags_of_torch() == wanted


@pytest.mark.usefixtures("a_gpu_is_found")
def test_the_workspace_of_exact_products_is_asked_for_before_any_product(monkeypatch: pytest.MonkeyPatch) -> None:
    make(kind="cpu").activate((4,))
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    make(kind="cuda", deterministic=False).activate((4,))  # a later run may be deterministic
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    make(kind="cuda", deterministic=True).activate((4,))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


@pytest.mark.process
def test_a_run_on_a_gpu_starts_without_torchs_compiler() -> None:
    code = (
        "import sys, torch; torch.cuda.is_available = lambda: True\n"
        "from rlrun.compute.device import Device\n"
        "for kind in ('cuda', 'cpu'):\n"
        "    Device(kind=kind, num_threads=None, deterministic=False, compile='graphs' if kind == 'cuda' else 'none',\n"
        "        precision='float32').activate((4,))\n"
        "print([name for name in sys.modules if name.startswith(('torch._dynamo', 'torch._inductor', 'sympy'))])\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
