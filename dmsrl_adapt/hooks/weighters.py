"""Weighters of a training step: they read all losses in one transfer, and refuse features that are not finite."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_adapt.hooks.base import BaseHook
from pytorch_adapt.utils.common_functions import assert_keys_are_present
from pytorch_adapt.weighters import MeanWeighter, SumWeighter
from torch import Tensor, nn

from .. import keys
from ..checks import check_finite, validate_args


class FiniteHook(BaseHook):
    """Shows the features and logits of a step to a `StepWeighter`, which refuses the step if they are not finite.

    A network may overflow on a good batch. The values are read with the losses, so that the step waits only once.

    Reads, where present: features and logits of both domains. Writes nothing. No losses.

    Examples:
        >>> import torch
        >>> hook = FiniteHook()
        >>> hook({"src_imgs_features": torch.eye(2)})
        ({}, {})
        >>> list(hook.take())
        ['src_imgs_features']
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen: dict[str, Tensor] = {}  # from this hook to the weighter of the same step

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        self.seen = {}
        wanted = [key(domain) for domain in keys.DOMAINS for key in (keys.features, keys.logits)]
        for key in (key for key in wanted if key in inputs):
            several = [inputs[key]] if isinstance(inputs[key], Tensor) else inputs[key]
            self.seen |= {f"{key}[{n}]" if n else key: one for n, one in enumerate(several)}
        return {}, {}

    def take(self) -> dict[str, Tensor]:
        """Returns what the last call has seen, by key, and forgets it."""
        seen, self.seen = self.seen, {}
        return seen

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return []


LARGEST = "largest value of features and logits"  # read together with the losses
Weighter = Callable[[Mapping[str, Tensor]], tuple[Tensor, dict[str, float]]]


class HostWeighter:
    """Adds weighted losses to the total of the host's own weighter.

    Upstream's default weighter is a mean, in which one more loss would change the weight of every other. Here the
    host's weighter sees the host's losses only. If it is a mean, added losses are divided by the number of the host's
    losses, so that weight 1 counts as much as a loss of the host. Losses of weight 0 are left out of the sum, so they
    do not change even the running averages of an optimizer.

    Args:
        host: the host's weighter.
        weights: weight of each added loss, by loss key; all other losses are the host's.
    """

    def __init__(self, host: Weighter, weights: Mapping[str, float]) -> None:
        self.host, self.weights = host, dict(weights)

    def __call__(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Returns the total loss for the backward pass, and all weighted losses with their `total` as numbers."""
        total, weighted = self.weighted(losses)
        return total, as_numbers(weighted)

    def weighted(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Returns the total loss, and all weighted losses with their `total`, not read from the device yet."""
        of_host = {key: loss for key, loss in losses.items() if key not in self.weights}
        total, components = weighted_by(self.host, of_host)
        added = {key: loss for key, loss in losses.items() if self.weights.get(key, 0.0) != 0}
        unused = {key: 0.0 for key in losses if key in self.weights and key not in added}
        if not added:
            return total, {**components, **unused}
        scale = 1 / len(of_host) if isinstance(self.host, MeanWeighter) else 1.0
        ours, our_components = weighted_by(SumWeighter(weights={key: self.weights[key] for key in added}), added, scale)
        total = total + ours
        return total, {**components, **our_components, **unused, "total": total}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(host={self.host}, weights={self.weights})"


class StepWeighter:
    """Gives what another weighter gives, after one wait for the device; upstream's weighters wait for every loss.

    It also refuses a step with features or logits that are not finite, before any optimizer has moved.

    Args:
        weighter: weighs and adds the losses.
        finite: a hook that has seen the features and logits.

    Raises:
        ValueError: at a call, NaN or infinite features or logits.
    """

    def __init__(self, weighter: Weighter, finite: FiniteHook) -> None:
        self.weighter, self.finite = weighter, finite

    def __call__(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Returns the total loss for the backward pass, and all weighted losses with their `total` as numbers."""
        seen = self.finite.take()
        total, weighted = weighted_by(self.weighter, losses)
        numbers = as_numbers({**weighted, LARGEST: largest(list(seen.values()))})
        if not math.isfinite(numbers.pop(LARGEST)):
            with validate_args(True):
                for name, tensor in seen.items():
                    check_finite(tensor, name)
        return total, numbers

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.weighter})"


def weighted_by(weighter: Any, losses: Mapping[str, Tensor], scale: float = 1.0) -> tuple[Tensor, dict[str, Any]]:
    """Returns the total and the weighted losses with their `total`, where it is known how, without a wait.

    Args:
        weighter: upstream's, `HostWeighter`, or one of your own, which is called.
        losses: scalars by loss key.
        scale: one more factor on all losses, for upstream's weighters.
    """
    if isinstance(weighter, HostWeighter):
        return weighter.weighted(losses)
    if type(weighter) not in (MeanWeighter, SumWeighter):
        return weighter(losses)
    assert_keys_are_present(weighter.weights, "weights", losses)
    weighted = dict(losses)
    for factors in (weighter.weights, dict.fromkeys(losses, weighter.scale * scale)):
        weighted = {key: times(loss, factors.get(key, 1)) for key, loss in weighted.items()}
    first, *others = weighted.values()
    total = sum(others, first) if type(weighter) is SumWeighter else weighter.reduction([first, *others])
    return total, {**weighted, "total": total}


def times(loss: Tensor, factor: float) -> Tensor:
    """Returns a multiple of a loss; the loss itself for 1."""
    return loss if factor == 1 else loss * factor


def as_numbers(losses: Mapping[str, Any]) -> dict[str, float]:
    """Returns losses as numbers, after one wait for the device."""
    unread = {key: loss for key, loss in losses.items() if isinstance(loss, Tensor)}
    with torch.no_grad():
        scalars = [loss.reshape(()) if loss.ndim else loss for loss in unread.values()]
        values = torch.stack(scalars).tolist() if scalars else []
    return {**losses, **dict(zip(unread, values, strict=True))}


def largest(tensors: list[Tensor]) -> Tensor | float:
    """Returns the largest absolute value, a scalar; NaN or infinite if any value is; 0 without values."""
    with torch.no_grad():
        filled = [one for one in tensors if one.numel()]
        return nn.utils.get_total_norm(filled, math.inf) if filled else 0.0
