"""The recipe of a run: that of a name, for its kind of inputs and the user's loss of the source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pytorch_adapt.hooks import CLossHook
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from ..hooks import AugmentHook
from ..parts import SourceClassification
from ..recipe import Recipe, get_recipe

LossFunction = Callable[[Tensor, Tensor], Tensor]
AUGMENTS = ("photo", "none")


@dataclass(frozen=True)
class OwnSourceLoss(SourceClassification):
    """Source classification by a loss of the user's, or by cross entropy with class weights.

    Args:
        label_smoothing: of the cross entropy.
        loss_fn: from logits (N, K) and labels (N,) to losses, shape (N,) or (); None for cross entropy.
        class_weights: of the cross entropy, one for each class; None for 1 each.
    """

    kind: ClassVar = "classification"

    loss_fn: LossFunction | None = None
    class_weights: tuple[float, ...] | None = None

    def hooks(self) -> list[BaseHook]:
        weights = None if self.class_weights is None else torch.tensor(self.class_weights)
        usual = SourceLoss(weights, self.label_smoothing)
        return [CLossHook(self.loss_fn or usual)]

    @property
    def settings(self) -> dict[str, Any]:
        """Its fields as plain values: the function by its name, so that checkpoints can hold it."""
        named = None if self.loss_fn is None else getattr(self.loss_fn, "__qualname__", type(self.loss_fn).__name__)
        weights = None if self.class_weights is None else list(self.class_weights)
        return {"label_smoothing": self.label_smoothing, "loss_fn": named, "class_weights": weights}


class SourceLoss:
    """Cross entropy of each sample, shape (N,), with class weights whose mean over the batch is taken out.

    Args:
        weights: shape (K,), or None.
        label_smoothing: 0..1.
    """

    def __init__(self, weights: Tensor | None, label_smoothing: float) -> None:
        self.weights, self.label_smoothing = weights, label_smoothing

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = None if self.weights is None else self.weights.to(logits)
        losses = torch.nn.functional.cross_entropy(
            logits, labels, weights, reduction="none", label_smoothing=self.label_smoothing
        )
        return losses if weights is None else losses / weights[labels].mean()


def run_recipe(
    recipe: str | Recipe,
    augment: str | None,
    num_classes: int,
    loss_fn: LossFunction | None = None,
    class_weights: Sequence[float] | None = None,
) -> Recipe:
    """Returns the recipe of a run.

    Args:
        recipe: name or recipe.
        augment: "none" leaves out all parts that augment images.
        num_classes: K.
        loss_fn, class_weights: see `OwnSourceLoss`.

    Raises:
        ValueError: an unknown recipe, or another number of weights than classes.
    """
    chosen = get_recipe(recipe)
    if augment == "none":
        augmenting = [part for part in chosen if any(isinstance(hook, AugmentHook) for hook in part.hooks_before())]
        chosen = chosen.without(*(part.kind for part in augmenting))
    if loss_fn is None and class_weights is None:
        return chosen
    if loss_fn is not None and class_weights is not None:
        raise ValueError("loss_fn and class_weights cannot be given together; weight the classes in loss_fn")
    if class_weights is not None and (len(class_weights) != num_classes or min(class_weights) <= 0):
        raise ValueError(f"class_weights must be {num_classes} numbers above 0, got {list(class_weights)}")
    smoothing = chosen.get("classification")
    old = smoothing.label_smoothing if isinstance(smoothing, SourceClassification) else 0.0
    weights = None if class_weights is None else tuple(map(float, class_weights))
    return chosen.replace(OwnSourceLoss(old, loss_fn, weights))


def resolved_augment(augment: Any, kind: str, is_frozen: bool) -> str | None:
    """Returns what the recipe's augmentation does: "photo", "none", "own" for a function, or None where it does not
    apply.

    Raises:
        ValueError: it must be said and is not, or does not go with the inputs.
    """
    if augment is not None and augment not in AUGMENTS and not callable(augment):
        raise ValueError(f"augment must be 'photo', 'none' or a function, got {augment!r}")
    if callable(augment):
        if is_frozen:
            raise ValueError("augment must be 'photo' or 'none' with model='frozen', whose features are computed once")
        return "own"
    if augment is None and kind == "tensor":
        raise ValueError(
            "augment must say what inputs with a height and a width are: 'photo' for photographs and drawings, which "
            "may be turned and recoloured; 'none' for others, such as spectrograms; or a function"
        )
    if augment == "photo" and kind in ("vector", "signal"):
        raise ValueError(f"augment must be 'none' or a function for the kind {kind!r}, got 'photo'")
    return "photo" if augment is None and kind == "image" else augment
