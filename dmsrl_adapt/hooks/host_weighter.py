"""Weighter that adds losses to those of a host method."""

from collections.abc import Callable, Mapping

from pytorch_adapt.weighters import MeanWeighter, SumWeighter
from torch import Tensor

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
        of_host = {key: loss for key, loss in losses.items() if key not in self.weights}
        total, components = self.host(of_host)
        added = {key: loss for key, loss in losses.items() if self.weights.get(key, 0.0) != 0}
        unused = {key: 0.0 for key in losses if key in self.weights and key not in added}
        if not added:
            return total, {**components, **unused}
        scale = 1 / len(of_host) if isinstance(self.host, MeanWeighter) else 1.0
        ours, our_components = SumWeighter(weights={key: self.weights[key] for key in added}, scale=scale)(added)
        total = total + ours
        return total, {**components, **our_components, **unused, "total": total.item()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(host={self.host}, weights={self.weights})"
