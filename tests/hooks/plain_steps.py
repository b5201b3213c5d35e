"""One training step in plain PyTorch, and the same step by one of upstream's hooks with ours inside."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_adapt.hooks import ClassifierHook, DANNHook
from pytorch_adapt.hooks.base import BaseHook
from pytorch_adapt.weighters import SumWeighter
from torch import Tensor, nn

from .. import references
from ..stand_ins import DIM, SIZE, make_opts

HOSTS = ("classifier", "dann")
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def make_discriminator(seed: int = 7) -> nn.Module:
    """Tells the domain of a feature by one number."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(DIM, 1), nn.Flatten(0))


def reverse(x: Tensor, strength: float = 1.0) -> Tensor:
    """x, with -strength times its gradient."""
    return (1 + strength) * x.detach() - strength * x


class Forward:
    """Features and logits of a batch, each computed when it is first asked for and no second time."""

    def __init__(self, models: Mapping[str, nn.Module], batch: Mapping[str, Tensor]) -> None:
        self.models, self.batch = models, batch
        self._logits: dict[str, Any] = {}
        self.features = {domain: models["G"](batch[f"{domain}_imgs"]) for domain in ("src", "target")}

    def logits(self, domain: str) -> Any:
        if domain not in self._logits:
            self._logits[domain] = self.models["C"](self.features[domain])
        return self._logits[domain]


def two_branch_losses(models: Mapping[str, Any], forward: Forward, strength: float) -> dict[str, Tensor]:
    """Losses of the two-branch form by the slow references, each with the gradient that it is to have."""
    features = torch.cat([forward.features["src"], forward.features["target"]])
    branch, estimator = models["mi_branch"], models["mi_estimator"].estimator
    sensitive = branch.branch(features.detach())
    logits, values = branch.classifier(sensitive)[:, 0], references.standardised(features)

    def guess(network: nn.Module, given: Tensor) -> tuple[Tensor, Tensor]:
        means, raw = network(given).chunk(2, 1)
        return means, 5 * torch.tanh(raw / 5)

    bound = references.club_bound(values, *guess(copy.deepcopy(estimator).requires_grad_(False), sensitive)).relu()
    return {
        "mi_loss": strength * bound + (1 - strength) * bound.detach(),
        "mi_estimator_loss": references.negative_log_likelihood(values.detach(), *guess(estimator, sensitive.detach())),
        "mi_branch_loss": references.domain_cross_entropy(logits, SIZE * [0] + SIZE * [1]),
    }


def plain_step(
    host: str,
    models: Mapping[str, nn.Module],
    opts: Sequence[torch.optim.Optimizer],
    batch: Mapping[str, Tensor],
    extra: Callable[[Forward], Tensor | float] = lambda forward: 0.0,
) -> None:
    """Source cross entropy, for DANN the domain cross entropy too, and what is extra; one step of all optimizers."""
    forward = Forward(models, batch)
    loss = F.cross_entropy(forward.logits("src"), batch["src_labels"])
    if host == "dann":
        for domain in ("src", "target"):
            dlogits = models["D"](reverse(forward.features[domain]))
            loss = loss + F.binary_cross_entropy_with_logits(dlogits, batch[f"{domain}_domain"].float())
    loss = loss + extra(forward)
    for opt in opts:
        opt.zero_grad()
    loss.backward()
    for opt in opts:
        opt.step()


def hook_step(
    host: str,
    models: Mapping[str, nn.Module],
    batch: Mapping[str, Any],
    hooks: Sequence[BaseHook],
    weights: Mapping[str, float] | None = None,
    pre: Sequence[BaseHook] = (),
    lr: float = 0.1,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same step by ClassifierHook(post=hooks) or DANNHook(post_g=hooks), with `batch` holding other modules too."""
    opts = make_opts(models, lr)
    weighter = SumWeighter(weights=dict(weights or {}))
    if host == "dann":
        hook = DANNHook(opts, weighter=weighter, pre=list(pre), post_g=list(hooks))
    else:
        hook = ClassifierHook(opts, weighter=weighter, pre=list(pre), post=list(hooks))
    return hook({**models, **batch})
