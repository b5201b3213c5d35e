"""MMD of features and of class probabilities (DAN: Long et al., ICML 2015, arXiv 1502.02791), or of both jointly (JAN:
Long et al., ICML 2017, arXiv 1605.06636)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import Aligner
from pytorch_adapt.hooks import JointAlignerHook
from pytorch_adapt.layers import MMDLoss
from pytorch_adapt.layers.utils import get_kernel_scales
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Space, Trainable


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's adapter; kernel widths are powers of 2 times the median squared distance."""
    G = setup.feature_extractor(settings)
    octaves = settings["octaves"]
    loss = MMDLoss(get_kernel_scales(-octaves, octaves, 2 * octaves + 1), mmd_type="quadratic")
    keys = ("joint_confusion_loss",) if settings["joint"] else ("features_confusion_loss", "logits_confusion_loss")
    aligner = {"aligner_hook": JointAlignerHook(loss_fn=loss)} if settings["joint"] else {"loss_fn": loss}
    weighter = SumWeighter(weights=dict.fromkeys(keys, settings["weight"]))
    containers = setup.containers({"G": G, "C": setup.classifier(G)})
    return Trainable(Aligner(**containers, hook_kwargs={**aligner, "weighter": weighter}))


SPACE: Space = {"weight": (0.1, 10.0), "octaves": [0, 2, 4]}
METHODS = tuple(
    Method(name, build, {"weight": 1.0, "octaves": 2, "joint": joint}, space=SPACE)
    for name, joint in (("mmd", False), ("jmmd", True))
)
