"""SymNets: adversarial training of two classifiers, one for each domain (Zhang et al., CVPR 2019, arXiv 1904.04663)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import SymNets
from pytorch_adapt.layers import MultipleModels
from pytorch_adapt.weighters import SumWeighter

from dmsrl_adapt.training import WarmUp

from .method import Method, Setup, Trainable

CONFUSION = {"g_symnets_target_domain_loss_0": 0.5, "g_symnets_target_domain_loss_1": 0.5, "symnets_entropy_loss": 1.0}


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's adapter; the domain confusion losses rise to `weight` by DANN's schedule, as in the paper."""
    G = setup.feature_extractor(settings)
    models = {"G": G, "C": MultipleModels(setup.classifier(G), setup.classifier(G))}
    weighter = SumWeighter(weights=dict.fromkeys(CONFUSION, 0.0))
    hook_kwargs = {"c_weighter": SumWeighter(), "g_weighter": weighter}
    adapter = SymNets(**setup.containers(models), hook_kwargs=hook_kwargs)

    def on_progress(progress: float) -> None:
        weight = settings["weight"] * WarmUp.SIGMOID(progress)
        weighter.weights.update({key: fraction * weight for key, fraction in CONFUSION.items()})

    return Trainable(adapter, on_progress)


METHODS = (Method("symnets", build, {"weight": 1.0}, space={"weight": (0.03, 3.0)}),)
