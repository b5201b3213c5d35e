"""SDAT: CDAN and MCC with sharpness-aware minimisation (Rangwani et al., ICML 2022, arXiv 2206.08213).

The task loss alone, as in the authors' code cross entropy and minimum class confusion, says where the weights are
worst. The adversarial loss does not. A step takes two forward and two backward passes, so that it costs about twice as
much as one of `cdan`. The critic has entropy conditioning as our `cdan` has, which the authors' code has as an option.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_adapt.adapters import CDANNE
from pytorch_adapt.hooks import ChainHook, CLossHook, FeaturesAndLogitsHook, GradientReversalHook, MCCHook
from pytorch_adapt.hooks.base import BaseHook
from pytorch_adapt.layers import MCCLoss, RandomizedDotProduct
from pytorch_adapt.models import Discriminator
from pytorch_adapt.weighters import SumWeighter
from torch import Tensor

from dmsrl_adapt import SourceAccuracyHook, keys
from dmsrl_adapt.training import WarmUp

from .cdan import COMBINED
from .method import CRITIC_WIDTH, Method, Setup, Space, Trainable, with_variants


class SharpnessAware(CDANNE):
    """CDAN whose gradients are taken where the task loss is worst, within a small distance of the weights of G and C.

    Args:
        *args: of upstream's adapter.
        task: computes the losses of the task.
        weights: of these losses, by key.
        rho: distance, at least 0.
        **kwargs: of upstream's adapter.
    """

    def __init__(self, *args: Any, task: BaseHook, weights: Mapping[str, float], rho: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.task, self.weighter, self.rho = task, SumWeighter(weights=dict(weights)), rho

    def training_step(
        self, batch: dict[str, Any], custom_backward: Callable[[Tensor], None] | None = None, **kwargs: Any
    ) -> dict[str, dict[str, float]]:
        """Returns the losses at the perturbed weights; the optimizers step from the weights themselves."""
        with torch.random.fork_rng():  # the second pass draws the same augmentation
            _, losses = self.task({**self.models, **self.misc, **batch})
        loss, _ = self.weighter({key: value.mean() for key, value in losses.items()})
        weights = [one for key in (keys.G, keys.C) for one in self.models[key].parameters() if one.requires_grad]
        kept = [one.detach().clone() for one in weights]
        climb(weights, torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True), self.rho)

        def backward(total: Tensor) -> None:
            (custom_backward or Tensor.backward)(total)
            with torch.no_grad():
                for one, old in zip(weights, kept, strict=True):
                    one.copy_(old)

        found: dict[str, dict[str, float]] = super().training_step(batch, custom_backward=backward, **kwargs)
        return found


@torch.no_grad()
def climb(weights: list[Tensor], grads: tuple[Tensor, ...], rho: float) -> None:
    """Moves the weights by a step of length rho along the gradient of all of them together; not at all if it is 0."""
    norm = torch.stack([grad.norm() for grad in grads]).norm()
    for one, grad in zip(weights, grads, strict=True):
        one.add_(grad * (rho / norm.clamp(min=1e-12)))


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns the adapter; the weight of the reversed gradient rises to `reversal` by DANN's schedule."""
    G = setup.feature_extractor(settings)
    combined = settings["combined_dim"]
    models = {"G": G, "C": setup.classifier(G), "D": Discriminator(combined, CRITIC_WIDTH)}
    combiner = RandomizedDotProduct(in_dims=[G.feature_dim, setup.num_classes], out_dim=combined)
    reversal = GradientReversalHook(weight=0.0, apply_to=COMBINED)
    task = {"src_c_loss": 1.0, "mcc_loss": settings["mcc_weight"]}
    mcc = MCCHook(loss_fn=MCCLoss(T=settings["mcc_temperature"]))
    # the accuracy on the source counts each batch once
    views = [hook for hook in setup.pre_hooks(settings) if not isinstance(hook, SourceAccuracyHook)]
    adapter = SharpnessAware(
        **setup.containers(models, {"feature_combiner": combiner}),
        task=ChainHook(*views, FeaturesAndLogitsHook(), CLossHook(), mcc),
        weights=task,
        rho=settings["rho"],
        hook_kwargs={
            "pre": setup.pre_hooks(settings),
            "post_g": [mcc],
            "gradient_reversal": reversal,
            "weighter": SumWeighter(weights={**task, "src_domain_loss": 0.5, "target_domain_loss": 0.5}),
        },
    )
    return Trainable(
        adapter, lambda progress: reversal.fn.update_weight(settings["reversal"] * WarmUp.SIGMOID(progress))
    )


SETTINGS = {"rho": 0.02, "reversal": 1.0, "mcc_weight": 1.0, "mcc_temperature": 2.0, "combined_dim": 512}
SPACE: Space = {"rho": (0.005, 0.2), "reversal": (0.03, 3.0), "mcc_weight": (0.1, 3.0)}
# `attach_dmsrl` would augment the second pass only
METHODS = tuple(
    one for one in with_variants(Method("sdat", build, SETTINGS, space=SPACE)) if not one.name.endswith("_dmsrl")
)
