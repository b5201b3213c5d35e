"""Pooling of feature maps to vectors."""

import torch
from torch import Tensor, nn

from ..checks import check_floating

POOLS = ("avg", "max", "gem", "flatten")


def generalised_mean(maps: Tensor, power: float | Tensor, lowest: float = 1e-6) -> Tensor:
    """Returns the generalised mean over the cells, (mean of x^p)^(1/p): the average for p = 1, the maximum for large p.

    Args:
        maps: shape (N, C, H, W), floating point, clamped to at least `lowest`; best after a ReLU.
        power: p > 0, a number or a scalar tensor that gets a gradient.
        lowest: above 0, keeps the gradient of the root finite.

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
    """Pools maps (N, C, H, W) to vectors (N, C), or (N, C H W) with "flatten".

    Args:
        pool: "avg", "max", "gem" or "flatten". "gem" is the generalised mean with a learned power, 3 at the start; it
            clamps negative values and runs in float32 under autocast.

    Raises:
        ValueError: unknown pool.

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
        """Returns one vector per image for maps of shape (N, C, H, W)."""
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
