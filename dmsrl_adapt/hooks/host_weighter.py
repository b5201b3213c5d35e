"""Weighing losses of our own beside those of a method that has a weighter already."""

from collections.abc import Callable, Mapping

from pytorch_adapt.weighters import MeanWeighter, SumWeighter
from torch import Tensor

Weighter = Callable[[Mapping[str, Tensor]], tuple[Tensor, dict[str, float]]]


class HostWeighter:
    """Adds weighted losses to what the host's own weighter makes of the host's losses.

    Upstream's default takes the mean of all losses, so that one loss more would change the weight of every other. Here
    the host's are weighed among themselves, and where that is a mean, an added loss of weight 1 counts as much as one
    of the host's: it is divided by their number. A loss of weight 0 is left out of the sum: it changes nothing, not
    even the running averages of an optimizer.

    Args:
        host: the host's weighter.
        weights: weight of each added loss, by loss key; all other losses are the host's.
    """

    def __init__(self, host: Weighter, weights: Mapping[str, float]) -> None:
        self.host, self.weights = host, dict(weights)

    def __call__(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Returns the loss to go backward from, and every weighted loss as a number, with their `total`."""
        of_host = {key: loss for key, loss in losses.items() if key not in self.weights}
        total, components = self.host(of_host)
        added = {key: loss for key, loss in losses.items() if self.weights.get(key, 0.0) != 0}
        unused = {key: 0.0 for key in losses if key in self.weights and key not in added}
        if not added:
            return total, {**components, **unused}
        share = 1 / len(of_host) if isinstance(self.host, MeanWeighter) else 1.0
        ours, our_components = SumWeighter(weights={key: self.weights[key] for key in added}, scale=share)(added)
        total = total + ours
        return total, {**components, **our_components, **unused, "total": total.item()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(host={self.host}, weights={self.weights})"
