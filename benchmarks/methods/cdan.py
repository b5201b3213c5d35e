"""CDAN with entropy conditioning, by gradient reversal (Long et al., NeurIPS 2018, arXiv 1705.10667)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import CDANNE
from pytorch_adapt.hooks import GradientReversalHook
from pytorch_adapt.layers import RandomizedDotProduct
from pytorch_adapt.models import Discriminator
from pytorch_adapt.weighters import SumWeighter

from dmsrl_adapt.training import WarmUp

from .method import CRITIC_WIDTH, Method, Setup, Space, Trainable, with_variants

COMBINED = [f"{d}_imgs_features_AND_{d}_imgs_features_logits_combined" for d in ("src", "target")]


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's adapter; the weight of the reversed gradient rises to `reversal` by DANN's schedule."""
    G = setup.feature_extractor(settings)
    combined = settings["combined_dim"]
    models = {"G": G, "C": setup.classifier(G), "D": Discriminator(combined, CRITIC_WIDTH)}
    combiner = RandomizedDotProduct(in_dims=[G.feature_dim, setup.num_classes], out_dim=combined)
    reversal = GradientReversalHook(weight=0.0, apply_to=COMBINED)
    weighter = SumWeighter(weights={"src_domain_loss": 0.5, "target_domain_loss": 0.5})
    containers = setup.containers(models, {"feature_combiner": combiner})
    hook_kwargs = {"pre": setup.pre_hooks(settings), "gradient_reversal": reversal, "weighter": weighter}
    adapter = CDANNE(**containers, hook_kwargs=hook_kwargs)
    return Trainable(
        adapter, lambda progress: reversal.fn.update_weight(settings["reversal"] * WarmUp.SIGMOID(progress))
    )


SPACE: Space = {"reversal": (0.03, 3.0)}
METHODS = with_variants(Method("cdan", build, {"reversal": 0.3, "combined_dim": 512}, space=SPACE))
