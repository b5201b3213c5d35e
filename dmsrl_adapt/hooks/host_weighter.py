"""Weighing losses of our own beside those of a method that has a weighter already."""

from collections.abc import Callable, Mapping

from pytorch_adapt.weighters import SumWeighter
from torch import Tensor

Weighter = Callable[[Mapping[str, Tensor]], tuple[Tensor, dict[str, float]]]


class HostWeighter:
    """Adds weighted losses to what the host's own weighter makes of the host's losses.

    Upstream's default takes the mean of all losses, so that one loss more would change the weight of every other. Here
    the host's are weighed among themselves. A loss of weight 0 is left out of the sum: it changes nothing, not even the
    running averages of an optimizer.

    Args:
        host: the host's weighter.
        weights: weight of each added loss, by loss key; all other losses are the host's.
    """

    def __init__(self, host: Weighter, weights: Mapping[str, float]) -> None:
        self.host, self.weights = host, dict(weights)

    def __call__(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Gives the loss to go backward from, and every weighted loss as a number, with their `total`."""
        total, components = self.host({key: loss for key, loss in losses.items() if key not in self.weights})
        added = {key: loss for key, loss in losses.items() if self.weights.get(key, 0.0) != 0}
        unused = {key: 0.0 for key in losses if key in self.weights and key not in added}
        if not added:
            return total, {**components, **unused}
        ours, our_components = SumWeighter(weights={key: self.weights[key] for key in added})(added)
        total = total + ours
        return total, {**components, **our_components, **unused, "total": total.item()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(host={self.host}, weights={self.weights})"
