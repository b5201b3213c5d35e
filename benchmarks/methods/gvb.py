"""GVB: gradually vanishing bridges in classifier and critic (Cui et al., CVPR 2020, arXiv 2003.13183)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import GVB
from pytorch_adapt.layers import GradientReversal
from pytorch_adapt.models import Discriminator
from pytorch_adapt.weighters import SumWeighter

from dmsrl_adapt.training import WarmUp
from dmsrl_adapt.training.checkpoints import modules_in

from .method import CRITIC_WIDTH, Method, Setup, Space, Trainable

BRIDGES = [f"{model}_{domain}_bridge_loss" for model in "gd" for domain in ("src", "target")]


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's adapter; the weight of the reversed gradient rises to `reversal` by DANN's schedule."""
    G = setup.feature_extractor(settings)
    models = {"G": G, "C": setup.classifier(G), "D": Discriminator(setup.num_classes, CRITIC_WIDTH)}
    domains = {"src_domain_loss": 0.5, "target_domain_loss": 0.5}
    weighter = SumWeighter(weights={**domains, **dict.fromkeys(BRIDGES, 0.5 * settings["bridge"])})
    adapter = GVB(**setup.containers(models), hook_kwargs={"gradient_reversal_weight": 0.0, "weighter": weighter})
    # upstream creates the layer inside its hook
    (reversal,) = {part for _, part in modules_in(adapter.hook) if isinstance(part, GradientReversal)}
    return Trainable(adapter, lambda progress: reversal.update_weight(settings["reversal"] * WarmUp.SIGMOID(progress)))


SPACE: Space = {"reversal": (0.03, 3.0), "bridge": (0.03, 3.0)}
METHODS = (Method("gvb", build, {"reversal": 1.0, "bridge": 1.0}, space=SPACE),)
