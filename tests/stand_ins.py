"""Small modules and batches that stand for real ones."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dmsrl_adapt import PrototypeLabeler

CLASSES, DIM, SIZE, NUM_TARGET = 3, 5, 8, 20


class Counted(nn.Module):
    """A module that counts its forward calls."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.count = net, 0

    def forward(self, x: Tensor) -> Any:
        self.count += 1
        return self.net(x)


class Several(nn.Module):
    """Classifiers that give a list of logits, as MCD's do."""

    def __init__(self, *nets: nn.Module) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [net(x) for net in self.nets]


class OneThreshold(PrototypeLabeler):
    """The labeller without its mend for unequal classes: samples of all classes have to be trusted alike."""

    def _is_rejected(self, nearest_class: Tensor, trust: Tensor) -> Tensor:
        return trust < self.threshold * self.mean_confidence.mean()


def make_models(seed: int = 0) -> dict[str, nn.Module]:
    """G, a network with batch statistics, and C; the same for the same seed."""
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, DIM))
    return {"G": Counted(trunk), "C": Counted(nn.Linear(DIM, CLASSES))}


def make_batch(seed: int = 0) -> dict[str, Tensor]:
    """Source images near a corner of their class, target images shifted from them, as upstream's data sets give."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (2, SIZE), generator=generator)
    noise = 0.5 * torch.randn(2, SIZE, 6, generator=generator)
    images = 2 * torch.eye(6)[labels] + noise
    return {
        "src_imgs": images[0],
        "src_labels": labels[0],
        "src_domain": torch.zeros(SIZE, dtype=torch.long),
        "target_imgs": images[1] + 0.5,
        "target_domain": torch.ones(SIZE, dtype=torch.long),
        "target_sample_idx": torch.randperm(NUM_TARGET, generator=generator)[:SIZE],
    }


def make_opts(models: Mapping[str, nn.Module], lr: float = 0.1) -> list[torch.optim.Optimizer]:
    """SGD for every module that has parameters."""
    return [torch.optim.SGD(model.parameters(), lr=lr) for model in models.values()]


def states(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """A copy of everything that the modules keep."""
    return {f"{name}.{key}": x.clone() for name, one in modules.items() for key, x in one.state_dict().items()}


def assert_same_states(first: Mapping[str, Tensor], second: Mapping[str, Tensor], **tolerance: float) -> None:
    """Compares what `states` gave; exactly where no tolerance is given."""
    assert first.keys() == second.keys()
    tolerance = tolerance or {"rtol": 0.0, "atol": 0.0}
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], **tolerance, msg=lambda text, key=key: f"{key}: {text}")
