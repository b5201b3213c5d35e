"""From maps to vectors."""

import torch
from torch import Tensor, nn

from ..checks import check_floating

POOLS = ("avg", "max", "gem", "flatten")


def generalised_mean(maps: Tensor, power: float | Tensor, lowest: float = 1e-6) -> Tensor:
    """Generalised mean over the cells, (mean of x^p)^(1/p): the average for p = 1, towards the maximum as p grows.

    Args:
        maps: shape (N, C, H, W), floating point; what is below `lowest` counts as it, so they should have passed a ReLU
            or the like.
        power: p > 0, a number or a scalar tensor, which a gradient reaches.
        lowest: above 0, keeps the root's gradient finite.

    Returns:
        shape (N, C), in the unit of the maps.

    Raises:
        ValueError: wrong shape, or a number that is not above 0.
        TypeError: maps that are not floating point.

    Examples:
        >>> generalised_mean(torch.tensor([[[[1.0, 7.0]]]]), power=2.0)
        tensor([[5.]])
    """
    check_floating(maps, "maps", "N", "C", "H", "W")
    if lowest <= 0 or (not isinstance(power, Tensor) and power <= 0):
        raise ValueError(f"power and lowest must be above 0, got {power} and {lowest}")
    return maps.clamp(min=lowest).pow(power).mean((2, 3)).pow(1 / power)


class MapPool(nn.Module):
    """Returns one vector an image of maps (N, C, H, W): (N, C), or (N, C H W) where they are flattened.

    Args:
        pool: "avg", "max", "gem" for the generalised mean, whose power is learned from 3 on, which counts what is
            negative as nothing, and which runs in float32 under autocast, or "flatten", which keeps every cell.

    Raises:
        ValueError: another kind.

    Reference:
        Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2018, arXiv 1711.02512, for
        the generalised mean.

    Examples:
        >>> MapPool("max")(torch.zeros(2, 8, 3, 3)).shape
        torch.Size([2, 8])
    """

    def __init__(self, pool: str = "avg") -> None:
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"pool must be one of {POOLS}, got {pool!r}")
        self.pool = pool
        if pool == "gem":
            self.power = nn.Parameter(torch.tensor(3.0))

    def forward(self, maps: Tensor) -> Tensor:
        """Pools maps of shape (N, C, H, W)."""
        if self.pool == "avg":
            return maps.mean((2, 3))
        if self.pool == "max":
            return maps.amax((2, 3))
        if self.pool == "flatten":
            return maps.flatten(1)
        with torch.autocast(maps.device.type, enabled=False):
            return generalised_mean(maps.float(), self.power.float()).to(maps)

    def extra_repr(self) -> str:
        return repr(self.pool)
