"""Where a run computes: which device, with how many threads."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field

from rlrun.annotations import EXECUTION
from rlrun.compute.allocator import keep_freed_memory
from rlrun.compute.cores import available_cores, free_cores
from rlrun.compute.cuda_graphs import CudaGraphs
from rlrun.compute.execution import Compile, Execution, Precision
from rlrun.errors import ArgumentError

_LOG = logging.getLogger(__name__)


class Device:
    """A computing device; refused if it is not available.

    Args:
        kind: `auto` is a GPU if there is one, otherwise the CPU.
        num_threads: CPU threads; None: 1 for vector observations (small networks are faster on one), and for images
            every available core that is not busy with other work when the run begins.
        deterministic: on a GPU, only kernels that give equal bits in equal runs, as the CPU's always do. Experimental.
        compile: `none` runs eagerly; `graphs` records updates and acting as CUDA graphs; `inductor` compiles networks
            and losses, and on a GPU records the rest as well. Both are experimental: they have not run on a GPU yet.
        precision: of the hidden layers' matrix products and convolutions; `bfloat16` leaves last layers, parameters,
            losses and optimizers in float32. On a GPU `float32` excludes TensorFloat-32. Experimental there.

    Raises:
        ArgumentError: if there is no GPU although one is requested, more threads are requested than there are cores, or
            something that `compile` needs is missing.
    """

    def __init__(
        self,
        *,
        kind: Annotated[Literal["auto", "cpu", "cuda"], EXECUTION],
        num_threads: Annotated[int, Field(gt=0), EXECUTION] | None,
        deterministic: Annotated[bool, EXECUTION],
        compile: Annotated[Compile, EXECUTION],  # noqa: A002 (the key that a user reads)
        precision: Precision,
    ) -> None:
        has_cuda = torch.cuda.is_available()
        if kind == "cuda" and not has_cuda:
            raise ArgumentError("kind", "=cuda is not available, torch finds no NVIDIA GPU here: use cpu or auto")
        cores = available_cores()
        if num_threads is not None and num_threads > cores:
            raise ArgumentError("num_threads", f"={num_threads}, but only {cores} cores are available here")
        self.torch_device = torch.device("cuda" if has_cuda and kind != "cpu" else "cpu")
        on_gpu = self.torch_device.type == "cuda"
        if compile == "graphs" and not on_gpu:
            raise ArgumentError("compile", "=graphs needs an NVIDIA GPU: use none or inductor")
        if compile == "inductor":
            _require_compiler(on_gpu=on_gpu)
        recorder = CudaGraphs(self.torch_device) if on_gpu and compile != "none" else None
        self.execution = Execution(self.torch_device, compile, precision, recorder)
        self._num_threads = num_threads
        self._free: int | None = None  # cores, once measured: a run keeps its number of threads
        self._deterministic = deterministic

    def threads_for(self, obs_shape: tuple[int, ...]) -> int:
        """How many CPU threads suit observations of this shape; images have three dimensions."""
        if self._num_threads is not None:
            return self._num_threads
        if len(obs_shape) < 3:
            return 1
        if self._free is None:
            self._free = free_cores()
            self._say_if_fewer(self._free)
        return self._free

    def _say_if_fewer(self, threads: int) -> None:
        cores = available_cores()
        if threads < cores:
            _LOG.warning(
                f"other work keeps {cores - threads} of {cores} cores busy, so this run uses {threads} "
                f"thread{'s' if threads > 1 else ''} until it ends; num_threads={cores} uses all"
            )

    def keep_threads(self, num_threads: int) -> None:
        """Uses as many threads as the run began with, even on fewer cores: another number would give other bits."""
        self._num_threads = num_threads

    def activate(self, obs_shape: tuple[int, ...]) -> None:
        """Sets up this process for a run with observations of this shape, whatever an earlier run has set."""
        torch.set_num_threads(self.threads_for(obs_shape))
        keep_freed_memory()
        on_gpu = self.torch_device.type == "cuda"
        deterministic = on_gpu and self._deterministic
        if on_gpu:
            # Torch reads it at the first matrix product of a process, and refuses deterministic ones without it: later
            # runs of this process may need them.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if torch.are_deterministic_algorithms_enabled() != deterministic:
            torch.use_deterministic_algorithms(deterministic)  # imports torch's compiler, which takes a second
        torch.utils.deterministic.fill_uninitialized_memory = not deterministic  # type: ignore[attr-defined] # never read
        torch.backends.cudnn.benchmark = on_gpu and not deterministic
        torch.backends.cudnn.allow_tf32 = False  # real float32; matrix products use it anyway


def _require_compiler(*, on_gpu: bool) -> None:
    """Raises ArgumentError, naming what is missing, if torch.compile could not compile for the device."""
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([named] if named else ["g++", "clang++", "c++"])):
        missing = f"the C++ compiler CXX={named}" if named else "a C++ compiler (g++)"
    elif not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing = "Python's headers (python3-dev)"
    elif on_gpu and importlib.util.find_spec("triton") is None:
        missing = "the package triton"
    else:
        return
    raise ArgumentError("compile", f"=inductor needs {missing}, which is missing here: use none")
