"""Devices are checked for being there."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rlrun.device import Device, available_cores
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


def test_vectors_get_one_thread_and_images_every_core() -> None:
    device = make()
    assert device.threads_for((4,)) == 1
    assert device.threads_for(()) == 1
    assert device.threads_for((4, 84, 84)) == available_cores()
    assert make(num_threads=1).threads_for((4, 84, 84)) == 1


def test_activating_sets_the_threads_of_torch() -> None:
    before = torch.get_num_threads()
    try:
        make().activate((4, 84, 84))
        assert torch.get_num_threads() == available_cores()
        make().activate((4,))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_more_threads_than_cores_are_refused() -> None:
    with pytest.raises(UserError, match=rf"there are {available_cores()} cores"):
        make(num_threads=available_cores() + 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused_and_auto_does_without() -> None:
    with pytest.raises(UserError, match="torch finds no NVIDIA GPU"):
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
        with pytest.raises(UserError, match=r"device\.compile=graphs needs an NVIDIA GPU"):
            make(kind=kind, compile="graphs")


def test_inductor_is_refused_without_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("rlrun.device.shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("rlrun.device.Path.is_file", lambda path: True)
    monkeypatch.setattr("rlrun.device.importlib.util.find_spec", lambda name: None)
    make(kind="cpu", compile="inductor")
    with pytest.raises(UserError, match="needs the package triton, which is not here"):
        make(kind="cuda", compile="inductor")
    monkeypatch.setattr("rlrun.device.Path.is_file", lambda path: False)
    with pytest.raises(UserError, match="needs Python's headers"):
        make(kind="cpu", compile="inductor")
    monkeypatch.setattr("rlrun.device.shutil.which", lambda name: None)
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler"):
        make(kind="cpu", compile="inductor")
    monkeypatch.setenv("CXX", "nosuch")
    with pytest.raises(UserError, match="needs the C\\+\\+ compiler CXX=nosuch"):
        make(kind="cpu", compile="inductor")


def test_functions_are_recorded_on_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert make(kind="cuda", compile="graphs").execution.records
    assert not make(kind="cuda").execution.records
    assert make(kind="cuda").execution.fixed_shapes
    assert not make(kind="cpu", compile="inductor").execution.records
