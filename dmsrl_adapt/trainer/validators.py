"""Label-free scores for choosing steps or settings: upstream's validators, by name."""

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
    # starts from the class means, so that the result does not depend on a random start
    "ClassClusterValidator": ClassClusterValidator(centroid_init="label_centers"),
}
SELECTOR = "IMValidator"
BY_LABELS = "validation"  # instead of a validator: labels of the target's validation part


def label_free_scores(seen: Mapping[str, Tensor]) -> dict[str, float | None]:
    """Returns the score of every validator, higher is better; None if the model diverged.

    seen: features (N, D), logits and predicted probabilities "preds" (N, K) of target samples.
    """
    if not all(torch.isfinite(tensor).all() for tensor in seen.values()):
        return dict.fromkeys(VALIDATORS)
    # several threads of k-means are slow on a busy machine
    with threadpool_limits(1):
        return {name: float(validator(target_train=dict(seen))) for name, validator in VALIDATORS.items()}
