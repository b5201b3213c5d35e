"""A small backbone with levels, images for it, and a look at its levels in a plain step."""

from typing import Any

import torch
from torch import Tensor, nn

from dmsrl_adapt import MultiLevelBackbone

from ..stand_ins import CLASSES, SIZE, Counted, make_batch

WEIGHTS = {"global": 0.5, "top_right": 2.0, "bottom_left": 0.0, "depth_0": 0.3}


class TwoDepths(nn.Module):
    """Maps of 4 x 4 and of 2 x 2."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3), nn.Tanh())
        self.second = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.first(x)
        return [first, self.second(first)]


def make_level_models(host: str = "classifier", seed: int = 0) -> dict[str, nn.Module]:
    """G with the levels of `WEIGHTS` and more, C, and D for DANN."""
    torch.manual_seed(seed)
    trunk = Counted(TwoDepths())
    G = MultiLevelBackbone(trunk, in_chans=1, input_size=8, levels=(0, -1))
    trunk.count = 0
    models = {"G": G, "C": Counted(nn.Linear(G.feature_dim, CLASSES))}
    return {**models, "D": nn.Sequential(nn.Linear(G.feature_dim, 1), nn.Flatten(0))} if host == "dann" else models


def make_level_batch(seed: int = 0) -> dict[str, Any]:
    """Images of 8 x 8 with the labels of `make_batch`."""
    generator = torch.Generator().manual_seed(seed)
    images = {f"{domain}_imgs": torch.randn(SIZE, 1, 8, 8, generator=generator) for domain in ("src", "target")}
    return {**make_batch(seed), **images}


class LevelTap:
    """Sees the levels of every pass of G on their way into its fusion, the source's pass being the first of a step."""

    def __init__(self, G: MultiLevelBackbone) -> None:
        self.sizes, self.passes = G.level_dims, []
        G.project.register_forward_pre_hook(lambda module, inputs: self.passes.append(inputs[0]))

    def __call__(self, name: str) -> Tensor:
        """Returns a level of both domains, source first."""
        position = list(self.sizes).index(name)
        return torch.cat([fused.split(list(self.sizes.values()), dim=1)[position] for fused in self.passes])
