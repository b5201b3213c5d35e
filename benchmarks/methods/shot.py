"""Information maximisation and target prototypes of SHOT (Liang et al., ICML 2020, arXiv 2002.08546).

It is not source-free, as the paper's method is: cross entropy of the source trains along from the first step to the
last. The paper adapts a network that is trained on the source; here the target's losses rise with the progress by
DANN's schedule instead, because confident predictions of an untrained network stay wrong. Prototypes are running means
in place of means over the whole target at each epoch.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytorch_adapt.hooks import TargetDiversityHook, TargetEntropyHook
from pytorch_adapt.weighters import SumWeighter
from torch import nn

from dmsrl_adapt import PrototypeLabeler, PseudoLabelHook, TargetClassificationHook, keys
from dmsrl_adapt.training import WarmUp

from .method import Method, Setup, Space, Trainable, with_variants
from .source_only import classifier


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's `Classifier` with information maximisation and pseudo labels by prototypes of the target."""
    labels = PseudoLabelHook("none", prototypes="target")
    on_labels = TargetClassificationHook(key_map={keys.TARGET_PSEUDO_LABELS: keys.TARGET_KNOWN_LABELS})
    information = dict.fromkeys(("entropy_loss", "diversity_loss"), settings["information"])
    weights = {**information, keys.TARGET_CLASSIFICATION_LOSS: settings["weight"]}
    hooks = [labels, TargetEntropyHook(), TargetDiversityHook(), on_labels]
    weighter = SumWeighter(weights=dict.fromkeys(weights, 0.0))

    def on_progress(progress: float) -> None:
        weighter.weights.update({key: weight * WarmUp.SIGMOID(progress) for key, weight in weights.items()})

    loss_fn = nn.CrossEntropyLoss(reduction="none", label_smoothing=settings["label_smoothing"])
    trainable = classifier(setup, settings, hooks, weighter, loss_fn=loss_fn)
    dim = trainable.adapter.models[keys.G].feature_dim
    # all samples have a label
    trainable.adapter.misc[keys.PSEUDO_LABELER] = PrototypeLabeler(
        setup.num_classes, dim, setup.num_target, threshold=0.0
    )
    return replace(trainable, on_progress=on_progress)


SETTINGS = {"information": 1.0, "weight": 0.3, "label_smoothing": 0.1}
SPACE: Space = {"information": (0.1, 3.0), "weight": (0.03, 3.0), "label_smoothing": [0.0, 0.1]}
METHODS = with_variants(Method("shot", build, SETTINGS, space=SPACE))
