"""State and networks that work in float32, whatever type the modules around them are turned to."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class PreciseBuffers(nn.Module):
    """A module whose floating point buffers keep their type when it is turned to another, as by `to(torch.bfloat16)`.

    Running means and counts would stand still in 16 bits. Parameters are turned, and buffers follow to other devices.

    Examples:
        >>> module = PreciseBuffers()
        >>> module.register_buffer("mean", torch.zeros(2))
        >>> module.half().mean.dtype
        torch.float32
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = {name: one for name, one in self._buffers.items() if one is not None and one.is_floating_point()}
        applied = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, one in before.items():
            turned = self._buffers[name]
            if turned is not None and turned.dtype != one.dtype:
                self._buffers[name] = one.to(turned.device)
        return applied


def in_float32(network: nn.Module, inputs: Tensor) -> Tensor:
    """Returns what a network gives in float32; gradients reach its parameters in their own type.

    Args:
        network: a module with floating point parameters of any type.
        inputs: float32.

    Examples:
        >>> in_float32(nn.Linear(2, 3).half(), torch.ones(1, 2)).dtype
        torch.float32
    """
    result: Tensor
    if all(one.dtype == torch.float32 for one in network.parameters()):
        result = network(inputs)
    else:
        result = functional_call(network, float32_parameters(network), (inputs,))
    return result


def float32_parameters(network: nn.Module) -> dict[str, Tensor]:
    """Returns the parameters of a network by name, in float32."""
    return {name: one.float() for name, one in network.named_parameters()}
