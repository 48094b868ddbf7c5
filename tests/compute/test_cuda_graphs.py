"""The order in which `CudaGraphs` asks for streams and graphs; what a GPU makes of it, `benchmarks/gpu.sh` shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from rlrun.compute.cuda_graphs import CudaGraphs


class Stream:
    def __init__(self, name: str, said: list[str]) -> None:
        self._name, self._said = name, said

    def wait_stream(self, other: Stream) -> None:
        self._said.append(f"{self._name} waits for {other._name}")


class Graph:
    def replay(self) -> None:
        pass


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    side, current = Stream("side", said), Stream("current", said)

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        assert stream is side
        said.append("on side")
        yield
        said.append("off side")

    @contextmanager
    def capturing(graph: Graph, stream: Stream) -> Iterator[None]:
        assert stream is side
        said.append("captures on side")
        yield
        said.append("captured")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capturing)
    return said


def test_warming_up_waits_for_what_came_before_and_is_waited_for(said: list[str]) -> None:
    CudaGraphs(torch.device("cuda")).warm_up(lambda: said.append("called"))
    assert said == ["side waits for current", "on side", "called", "off side", "current waits for side"]


def test_a_graph_is_captured_on_the_stream_of_the_warm_up(said: list[str]) -> None:
    outputs = {"": torch.ones(1)}

    def function() -> dict[str, torch.Tensor]:
        said.append("called")
        return outputs

    replay, found = CudaGraphs(torch.device("cuda")).record(function)
    assert said == ["captures on side", "called", "captured"]
    assert found is outputs
    assert replay.__func__ is Graph.replay  # type: ignore[attr-defined]
