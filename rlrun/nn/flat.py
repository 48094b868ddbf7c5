"""Optimizers that update small networks in few calls: all parameters, and their states, in one piece of memory.

A network of CartPole's size has a dozen small tensors, and a call for each of them takes longer than its arithmetic.
An optimizer treats every entry by itself, so the numbers are the same: RMSProp's to the bit, Adam's to rounding, since
torch's fused kernel rounds the last few entries of a tensor otherwise. `state_dict` has the state of each parameter.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from rlrun.errors import UserError
from rlrun.numerics.schedules import Schedule

_LOG = logging.getLogger(__name__)
State = dict[str, Tensor]  # of a parameter: tensors of its shape, and `step`, a scalar
_COUNT = "step"
_CHANGE_NO_NUMBER = {  # settings of a saved group that may be ignored
    "params",
    "param_names",
    "initial_lr",  # of a scheduler
    "foreach",  # from here on: how torch computes
    "fused",
    "capturable",
    "differentiable",
    "decoupled_weight_decay",  # says how `weight_decay` is applied
}
_MOST_ENTRIES = 1 << 17  # in more of them the arithmetic takes longer than the calls, and gathering costs a copy


class Flat:
    """Parameters that have been moved into one piece of memory and are now views of it.

    Args:
        parameters: contiguous, of one type and on one device.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        self._sizes = [parameter.numel() for parameter in parameters]
        self.whole = _joined([parameter.detach() for parameter in parameters])
        for parameter, part in zip(parameters, self._parts(self.whole), strict=True):
            parameter.data = part
        self._addresses = [parameter.data_ptr() for parameter in parameters]
        self.state: State = {}

    @property
    def left(self) -> bool:
        """Whether any of the parameters has been moved since, as by `module.to`, or by another `Flat`."""
        return [parameter.data_ptr() for parameter in self._parameters] != self._addresses

    def split(self) -> list[State]:
        """The state of each parameter: views, and one shared count of steps."""
        parts = {name: self._parts(whole) for name, whole in self.state.items() if name != _COUNT}
        counts = {_COUNT: self.state[_COUNT]} if _COUNT in self.state else {}
        return [counts | {name: each[i] for name, each in parts.items()} for i in range(len(self._sizes))]

    def join(self, states: Sequence[State]) -> None:
        """Copies the state of each parameter; their counts are equal."""
        self.state = {
            name: states[0][name] if name == _COUNT else _joined([state[name] for state in states])
            for name in states[0]
        }

    def _parts(self, whole: Tensor) -> list[Tensor]:
        pieces = torch.split(whole, self._sizes)
        return [piece.view(like.shape) for piece, like in zip(pieces, self._parameters, strict=True)]


# A group, its parameters' piece of memory if they are updated together, and their gradients: one, or one for each.
_Moving = tuple[dict[str, Any], Flat | None, list[Tensor]]


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _count(state: State) -> float:
    return float(state.get(_COUNT, 0.0))


def _can_be_flat(parameters: Sequence[nn.Parameter]) -> bool:
    kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
    small = sum(parameter.numel() for parameter in parameters) <= _MOST_ENTRIES
    return len(parameters) > 1 and small and len(kinds) == 1 and all(each.is_contiguous() for each in parameters)


class FlatOptimizer(torch.optim.Optimizer):
    """A torch optimizer whose subclasses define a parameter's initial state, and the update of a list of parameters.

    After a step in which only some parameters of a group have a gradient, they are updated one by one for good:
    `together` in the group, and so in `state_dict`, says which. Memory is arranged when the optimizer is made, so
    parameters of groups added later are updated one by one.

    Args:
        parameters: to be moved.
        learning_rate: the step size; a schedule is evaluated when `at` is called.
        defaults: other settings of the groups.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], learning_rate: float | Schedule, defaults: dict[str, Any]
    ) -> None:
        self._schedule = learning_rate if callable(learning_rate) else None
        first = learning_rate(0) if callable(learning_rate) else learning_rate
        super().__init__(parameters, defaults | {"lr": first, "together": False})
        for group in self.param_groups:
            group["together"] = _can_be_flat(group["params"])
        self._flats = {i: Flat(group["params"]) for i, group in enumerate(self.param_groups) if group["together"]}
        self._asked: list[_Moving] = []  # what the next step updates, once its gradients were requested
        # A tensor, because a recording of `step` would keep a number forever; constants stay numbers, which are faster.
        self._rate: Tensor | None = None  # of a schedule, once its step is known
        self._warned = False

    def at(self, step: int) -> float | None:
        """Sets the learning rate of agent step `step`, and returns it; None if it is constant."""
        if self._schedule is None:
            return None
        rate = self._schedule(step)
        if rate == 0.0 and self.param_groups[0]["lr"] == 0.0 and not self._warned:
            self._warned = True  # for example in a run longer than its schedule
            _LOG.warning(f"the learning rate is 0 at step {step:,}, as before: nothing is learned any more")
        for group in self.param_groups:
            group["lr"] = rate  # as it is saved
        if self._rate is None:
            self._rate = torch.full((), rate, device=self.param_groups[0]["params"][0].device)
        self._rate.fill_(rate)
        return rate

    def rate(self, group: Mapping[str, Any]) -> float | Tensor:
        """The learning rate of a group: a number, or with a schedule always the same scalar tensor.

        Raises:
            RuntimeError: if there is a schedule, and its step was not set.
        """
        if self._schedule is None:
            constant: float = group["lr"]
            return constant
        if self._rate is None:
            raise RuntimeError(
                "the learning rate is a schedule: call rlrun.nn.optimizers.at_step before the first step"
            )
        return self._rate

    def __getstate__(self) -> NoReturn:  # called by `copy` and `pickle`
        raise TypeError("an optimizer cannot be copied, since it updates its own parameters: load its `state_dict`")

    # As wrapped by torch, the first call of any of these three imports its compiler, which takes a second.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    _load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    def begun(self, parameter: Tensor) -> State:
        """The state of a parameter before its first step."""
        raise NotImplementedError

    def move(
        self, group: Mapping[str, Any], parameters: list[Tensor], gradients: list[Tensor], states: Sequence[State]
    ) -> None:
        """Updates parameters and their states in place, without autograd."""
        raise NotImplementedError

    def gradients(self) -> list[Tensor]:
        """The gradients that the next `step` uses, in few tensors; changing them in place changes that step."""
        self._asked = []
        for group, flat in self._groups():
            present = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
            if flat is not None and len(present) == len(group["params"]):
                present = [_joined(present)]
            elif flat is not None and present:
                self._part(group, flat)
                flat = None
            self._asked.append((group, flat, present))
        return [gradient for _, _, gradients in self._asked for gradient in gradients]

    def moved(self) -> list[Tensor]:
        """All that a step changes, if every parameter has a gradient; initialises missing states."""
        parameters, states = zip(
            *(pair for group, flat in self._groups() for pair in self._pairs(group, flat, group["params"])), strict=True
        )
        return [*parameters, *(each for state in states for each in state.values())]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Calls `closure`, updates the parameters that have a gradient, and returns the closure's result."""
        loss = None
        if closure is not None:
            self._asked = []
            with torch.enable_grad():
                loss = closure()
        if not self._asked:
            self.gradients()
        for group, flat, gradients in self._asked:
            if gradients:
                pairs = self._pairs(group, flat, [each for each in group["params"] if each.grad is not None])
                self.move(group, [parameter for parameter, _ in pairs], gradients, [state for _, state in pairs])
        self._asked = []
        return loss

    step.hooked = True  # type: ignore[attr-defined]  # otherwise torch wraps it, for profilers and hooks that are not used

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues exactly, also from the state of torch's optimizer of the same kind.

        Raises:
            UserError: if that had a setting that is unknown here, and so would train differently.
        """
        for saved in state_dict["param_groups"]:
            self._refuse_unknown(saved)
        self._load_state_dict(state_dict)
        for i, group in enumerate(self.param_groups):
            states = [state_dict["state"].get(key, {}) for key in state_dict["param_groups"][i]["params"]]
            alike = all(state.keys() == states[0].keys() and _count(state) == _count(states[0]) for state in states)
            group["together"] = group.get("together", True) and alike and i in self._flats
        self._asked = []
        self._join()

    def _refuse_unknown(self, saved: Mapping[str, Any]) -> None:
        for name, value in saved.items():
            if value and name not in self.defaults and name not in _CHANGE_NO_NUMBER:
                raise UserError(
                    f"the saved optimizer has {name}={value}, but {type(self).__name__} has no {name}: only the "
                    "state of one that trained without it can be loaded"
                )

    def _join(self) -> None:
        """Copies the state of each parameter into the pieces that are updated together."""
        for i, flat in self._flats.items():
            group = self.param_groups[i]
            if group["together"]:
                flat.join([self.state.get(parameter, {}) for parameter in group["params"]])
                if flat.state:
                    self._share(group, flat)

    def _groups(self) -> list[tuple[dict[str, Any], Flat | None]]:
        """The groups of parameters, with the piece of memory of those that are updated together."""
        for i, flat in self._flats.items():
            group = self.param_groups[i]
            if group["together"] and flat.left:
                self._part(group, flat)
        return [(group, self._flats[i] if group["together"] else None) for i, group in enumerate(self.param_groups)]

    def _pairs(
        self, group: Mapping[str, Any], flat: Flat | None, moving: Sequence[nn.Parameter]
    ) -> list[tuple[Tensor, State]]:
        """The arguments of `move`: parameters and states, initialised where missing."""
        if flat is None:
            for parameter in moving:
                self.state[parameter] = self.state[parameter] or self.begun(parameter)
            return [(parameter, self.state[parameter]) for parameter in moving]
        if not flat.state:
            flat.state = self.begun(flat.whole)
            self._share(group, flat)
        return [(flat.whole, flat.state)]

    def _share(self, group: Mapping[str, Any], flat: Flat) -> None:
        """Makes the state of each parameter a view of the whole."""
        self.state.update(zip(group["params"], flat.split(), strict=True))

    def _part(self, group: dict[str, Any], flat: Flat) -> None:
        """From now on each of them has its own count of steps; the rest of its state stays where it is."""
        group["together"], flat.state = False, {}
        for parameter in group["params"]:
            state = self.state[parameter]
            self.state[parameter] = {name: each.clone() if name == _COUNT else each for name, each in state.items()}
