"""Optimizers that move small networks in few calls: all parameters, and what is known of each, in one piece of memory.

A network of CartPole's size has a dozen small tensors, and a call for each of them takes longer than its arithmetic.
The numbers are the same, since an optimizer treats every entry by itself; `state_dict` has a state for each parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Tensor]  # what is known of a parameter: tensors like it, and `step`, a number
_COUNT = "step"
_MOST_ENTRIES = 1 << 17  # in more of them the arithmetic takes longer than the calls, and gathering costs a copy


class Flat:
    """Parameters that have been moved into one piece of memory, of which they are views now.

    Args:
        parameters: contiguous, of one type and on one device.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        self._sizes = [parameter.numel() for parameter in parameters]
        self.whole = _joined([parameter.detach() for parameter in parameters])
        for parameter, part in zip(parameters, self._parts(self.whole), strict=True):
            parameter.data = part
        self.state: State = {}

    def gradient(self) -> Tensor | None:
        """Of all parameters, in one piece; None if one of them has none."""
        gradients = [parameter.grad for parameter in self._parameters]
        present = [gradient for gradient in gradients if gradient is not None]
        return _joined(present) if len(present) == len(gradients) else None

    def split(self) -> list[State]:
        """The state of each parameter: views, and one count for all."""
        if not self.state:
            return [{} for _ in self._parameters]
        parts = {name: self._parts(whole) for name, whole in self.state.items() if name != _COUNT}
        counts = {_COUNT: self.state[_COUNT]} if _COUNT in self.state else {}
        return [counts | {name: each[i] for name, each in parts.items()} for i in range(len(self._sizes))]

    def join(self, states: Sequence[State]) -> None:
        """Takes over the state of each parameter; their counts are equal."""
        self.state = {
            name: states[0][name] if name == _COUNT else _joined([state[name] for state in states])
            for name in states[0]
        }

    def _parts(self, whole: Tensor) -> list[Tensor]:
        pieces = torch.split(whole, self._sizes)
        return [piece.view(like.shape) for piece, like in zip(pieces, self._parameters, strict=True)]


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _count(state: State) -> float:
    return float(state.get(_COUNT, 0.0))


def _can_be_flat(parameters: Sequence[nn.Parameter]) -> bool:
    kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
    small = sum(parameter.numel() for parameter in parameters) <= _MOST_ENTRIES
    return len(parameters) > 1 and small and len(kinds) == 1 and all(each.is_contiguous() for each in parameters)


class FlatOptimizer(torch.optim.Optimizer):
    """A torch optimizer whose subclasses say what they know of a parameter at first, and how they move a list of them.

    Where a step comes in which only some parameters of a group have a gradient, they part for good: `together` in the
    group says so, and therefore in `state_dict` too.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], defaults: dict[str, Any]) -> None:
        super().__init__(parameters, defaults | {"together": True})
        self._flats: list[Flat | None] = []
        for group in self.param_groups:
            group["together"] = _can_be_flat(group["params"])
            self._flats.append(Flat(group["params"]) if group["together"] else None)
        self._gradients: list[list[Tensor]] = []  # of each group, once they were asked for

    def begun(self, parameter: Tensor) -> State:
        """What is known of a parameter before its first step."""
        raise NotImplementedError

    def move(
        self, group: Mapping[str, Any], parameters: list[Tensor], gradients: list[Tensor], states: Sequence[State]
    ) -> None:
        """Moves parameters down their gradients and keeps their states up, all in place; records no gradient."""
        raise NotImplementedError

    def gradients(self) -> list[Tensor]:
        """The gradients that the next `step` uses, in few tensors; it sees what is changed in them in place."""
        self._gradients = []
        for i, group in enumerate(self.param_groups):
            flat = self._flats[i]
            gradient = flat.gradient() if flat is not None else None
            present = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
            if flat is not None and gradient is None and present:
                self._part(i, flat)
            self._gradients.append(present if gradient is None else [gradient])
        return [gradient for gradients in self._gradients for gradient in gradients]

    def _part(self, number: int, flat: Flat) -> None:
        group = self.param_groups[number]
        group["together"], self._flats[number] = False, None
        for parameter, state in zip(group["params"], flat.split(), strict=True):
            self.state[parameter] = {name: each.clone() if name == _COUNT else each for name, each in state.items()}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves the parameters that have a gradient."""
        del closure
        if not self._gradients:
            self.gradients()
        for group, flat, gradients in zip(self.param_groups, self._flats, self._gradients, strict=True):
            if flat is not None and gradients:
                if not flat.state:
                    flat.state = self.begun(flat.whole)
                    self.state.update(zip(group["params"], flat.split(), strict=True))
                self.move(group, [flat.whole], gradients, [flat.state])
            elif gradients:
                moved = [parameter for parameter in group["params"] if parameter.grad is not None]
                for parameter in moved:
                    self.state[parameter] = self.state[parameter] or self.begun(parameter)
                self.move(group, moved, gradients, [self.state[parameter] for parameter in moved])
        self._gradients = []

    step.hooked = True  # type: ignore[attr-defined]  # or torch wraps it, for profilers and hooks that nobody sets

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues exactly, also from the state of torch's optimizer of the same kind."""
        super().load_state_dict(state_dict)
        for i, group in enumerate(self.param_groups):
            saved = [state_dict["state"].get(key, {}) for key in state_dict["param_groups"][i]["params"]]
            alike = all(state.keys() == saved[0].keys() and _count(state) == _count(saved[0]) for state in saved)
            group["together"] = group.get("together", True) and alike and _can_be_flat(group["params"])
            flat = Flat(group["params"]) if group["together"] else None
            self._flats[i] = flat
            if flat is not None and saved[0]:
                flat.join([self.state[parameter] for parameter in group["params"]])
                self.state.update(zip(group["params"], flat.split(), strict=True))
