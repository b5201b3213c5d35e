"""VADA: virtual adversarial training, entropy minimisation and a critic (Shu et al., ICLR 2018, arXiv 1802.08735)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import VADA
from pytorch_adapt.layers import VATLoss
from pytorch_adapt.models import Discriminator
from pytorch_adapt.weighters import SumWeighter

from .method import CRITIC_WIDTH, Method, Setup, Space, Trainable


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's adapter; `target` is the weight of both entropy and virtual adversarial loss on the target."""
    G = setup.feature_extractor(settings)
    models = {"G": G, "C": setup.classifier(G), "D": Discriminator(G.feature_dim, CRITIC_WIDTH)}
    adversarial = dict.fromkeys(("g_src_domain_loss", "g_target_domain_loss"), settings["adversarial"] / 2)
    target = dict.fromkeys(("target_vat_loss", "entropy_loss"), settings["target"])
    g_weighter = SumWeighter(weights={**adversarial, **target, "src_vat_loss": settings["source"]})
    vat = VATLoss(epsilon=settings["epsilon"])
    hook_kwargs = {"vat_loss_fn": vat, "d_weighter": SumWeighter(), "g_weighter": g_weighter}
    return Trainable(VADA(**setup.containers(models), hook_kwargs=hook_kwargs))


SETTINGS = {"adversarial": 0.01, "source": 1.0, "target": 0.01, "epsilon": 3.5}
SPACE: Space = {"adversarial": (0.003, 0.3), "source": [0.0, 1.0], "target": (0.003, 1.0), "epsilon": (0.5, 8.0)}
METHODS = (Method("vada", build, SETTINGS, space=SPACE),)
