"""Label-free scores of a model, by which its best step or settings can be picked: upstream's validators, by name."""

from collections.abc import Mapping

import torch
from pytorch_adapt.validators import BNMValidator, ClassClusterValidator, IMValidator, SNDValidator
from pytorch_adapt.validators.base_validator import BaseValidator
from threadpoolctl import threadpool_limits
from torch import Tensor

VALIDATORS: dict[str, BaseValidator] = {
    "IMValidator": IMValidator(),
    "SNDValidator": SNDValidator(),
    "BNMValidator": BNMValidator(),
    # from the classes' means on, so that no random start of the clusters decides
    "ClassClusterValidator": ClassClusterValidator(centroid_init="label_centers"),
}
SELECTOR = "IMValidator"
BY_LABELS = "validation"  # instead of a validator: target labels of a part that does not score


def label_free_scores(seen: Mapping[str, Tensor]) -> dict[str, float | None]:
    """Returns the score of every validator, higher is better; None where the model diverged.

    seen: features (N, D), logits and predicted probabilities "preds" (N, K) of target samples.
    """
    if not all(torch.isfinite(tensor).all() for tensor in seen.values()):
        return dict.fromkeys(VALIDATORS)
    # several threads of k-means wait for each other where the machine has other work
    with threadpool_limits(1):
        return {name: float(validator(target_train=dict(seen))) for name, validator in VALIDATORS.items()}
