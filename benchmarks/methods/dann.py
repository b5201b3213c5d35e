"""DANN: domain-adversarial training (Ganin et al., JMLR 2016, arXiv 1505.07818), without and with MCC."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import DANN
from pytorch_adapt.hooks import GradientReversalHook, MCCHook
from pytorch_adapt.layers import MCCLoss
from pytorch_adapt.models import Discriminator
from pytorch_adapt.weighters import SumWeighter

from dmsrl_adapt.training import WarmUp

from .method import CRITIC_WIDTH, Method, Setup, Space, Trainable, with_variants


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's adapter; the weight of the reversed gradient rises to `reversal` by the authors' schedule."""
    G = setup.feature_extractor(settings)
    models = {"G": G, "C": setup.classifier(G), "D": Discriminator(G.feature_dim, CRITIC_WIDTH)}
    reversal = GradientReversalHook(weight=0.0, apply_to=["src_imgs_features", "target_imgs_features"])
    mcc = [MCCHook(loss_fn=MCCLoss(T=settings["mcc_temperature"]))] if "mcc_weight" in settings else []
    weights = {"src_domain_loss": 0.5, "target_domain_loss": 0.5}
    if mcc:
        weights["mcc_loss"] = settings["mcc_weight"]
    hook_kwargs = {"pre": setup.pre_hooks(settings), "post_g": mcc, "weighter": SumWeighter(weights=weights)}
    adapter = DANN(**setup.containers(models), hook_kwargs={**hook_kwargs, "gradient_reversal": reversal})
    return Trainable(
        adapter, lambda progress: reversal.fn.update_weight(settings["reversal"] * WarmUp.SIGMOID(progress))
    )


REVERSAL: Space = {"reversal": (0.03, 3.0)}
MCC: Space = {"mcc_weight": (0.1, 3.0), "mcc_temperature": (1.5, 4.0)}
METHODS = with_variants(
    Method("dann", build, {"reversal": 0.1}, space=REVERSAL),
    Method("dann_mcc", build, {"reversal": 0.1, "mcc_weight": 1.0, "mcc_temperature": 2.5}, space={**REVERSAL, **MCC}),
)
