"""Parts: category margin, by cosines to prototypes, by distances to class centres, or by disparity of classifiers."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from pytorch_adapt.hooks import ADDAHook, FinetunerHook
from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..checks import check_at_least, check_positive
from ..hooks import MarginDisparityHook, MarginMetricHook
from ..hooks.warm_up import warmed_up
from ..losses import CosineMarginLoss, MarginDisparityLoss, MarginMetricLoss
from ..losses.cosine_margin_loss import check_scale_and_margin
from ..training import WarmUp
from .part import FIXED_G, Factory, OptimizerChoice, Part, Sizes, Space


@dataclass(frozen=True)
class Margin(Part, is_base=True):
    """Base class of the category margin parts; see `MarginMetricHook`.

    Args:
        weight: of `margin_metric_loss`, at least 0.
        warmup: of the weight.
    """

    kind: ClassVar = "margin"
    after: ClassVar = ("pseudo_labels",)
    trace: ClassVar = keys.MARGIN_METRIC_LOSS
    refused_by: ClassVar = {**Part.refused_by, FinetunerHook: FIXED_G}

    weight: float
    warmup: WarmUp = WarmUp.NONE

    def hooks(self) -> list[BaseHook]:
        return [warmed_up(MarginMetricHook(), self.warmup)]

    @property
    def loss_weights(self) -> dict[str, float]:
        return {keys.MARGIN_METRIC_LOSS: self.weight}

    def refusal(self, host: BaseHook, kinds: Collection[str]) -> str | None:
        if isinstance(host, ADDAHook) and "pseudo_labels" not in kinds:
            return "it keeps the source's network fixed, and without pseudo labels no target sample has a label"
        return super().refusal(host, kinds)

    def ablated(self) -> Part:
        return replace(self, weight=0.0)


@dataclass(frozen=True)
class CosineMargin(Margin):
    """Cross entropy over cosines to shared class prototypes with an additive margin; see `CosineMarginLoss`.

    Args:
        weight: of `margin_metric_loss`, at least 0.
        warmup: of the weight.
        margin: m, in units of cosine, 0..2.
        scale: s, inverse temperature of the softmax over cosines, above 0.

    Raises:
        ValueError: a number out of range.
    """

    search_space: ClassVar[dict[str, Space]] = {"weight": (0.05, 1.0)}

    margin: float = 0.2
    scale: float = 8.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scale_and_margin(self.scale, self.margin)

    def models(self) -> dict[str, Factory]:
        return {keys.MARGIN_METRIC: self._loss}

    def _loss(self, sizes: Sizes) -> CosineMarginLoss:
        return CosineMarginLoss(sizes.num_classes, sizes.feature_dim, scale=self.scale, margin=self.margin)


@dataclass(frozen=True)
class CenterMargin(Margin):
    """Squared distances to learnable class centres, with a margin between centres; see `MarginMetricLoss`.

    The published form. The centres use SGD with learning rate 1. All other modules of its recipe use SGD with learning
    rate 0.01, momentum 0.9 and weight decay 5e-4.

    Args:
        weight: of `margin_metric_loss`, at least 0.
        warmup: of the weight.
        margin: M, in squared feature units, at least 0.

    Raises:
        ValueError: a number out of range.
    """

    usual_optimizer: ClassVar[OptimizerChoice | None] = (
        torch.optim.SGD,
        {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4},
    )
    search_space: ClassVar[dict[str, Space]] = {"weight": (0.001, 0.1)}

    warmup: WarmUp = WarmUp.SIGMOID
    margin: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(0, margin=self.margin)

    def models(self) -> dict[str, Factory]:
        return {keys.MARGIN_METRIC: self._loss}

    def _loss(self, sizes: Sizes) -> MarginMetricLoss:
        return MarginMetricLoss(sizes.num_classes, sizes.feature_dim, margin=self.margin)

    def optimizers(self, usual: OptimizerChoice) -> dict[str, OptimizerChoice]:
        settings: dict[str, Any] = {"lr": 1.0}
        return {keys.MARGIN_METRIC: (torch.optim.SGD, settings)}


@dataclass(frozen=True)
class MarginDisparity(Margin):
    """Margin disparity discrepancy (MDD): a head that contradicts the classifier on the target, with a margin.

    The features learn to leave no room for it. It needs no pseudo labels. See `MarginDisparityHook` and
    `MarginDisparityLoss`.

    Args:
        weight: of `margin_metric_loss`, for both head and features, at least 0.
        warmup: of the reversed gradient that reaches the features.
        margin: gamma, weight of the source in the head's loss, above 0; 4 in the paper.
        reversal: factor on the reversed gradient, at least 0; 0.1 in the paper.

    Raises:
        ValueError: a number out of range.

    Reference:
        Zhang et al., Bridging Theory and Algorithm for Domain Adaptation, ICML 2019, arXiv 1904.05801.
    """

    search_space: ClassVar[dict[str, Space]] = {"reversal": (0.01, 1.0), "margin": [2.0, 3.0, 4.0]}

    weight: float = 1.0
    warmup: WarmUp = WarmUp.SIGMOID
    margin: float = 4.0
    reversal: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(margin=self.margin)
        check_at_least(0, reversal=self.reversal)

    def models(self) -> dict[str, Factory]:
        return {keys.MARGIN_METRIC: self._loss}

    def _loss(self, sizes: Sizes) -> MarginDisparityLoss:
        return MarginDisparityLoss(sizes.num_classes, sizes.feature_dim, margin=self.margin)

    def hooks(self) -> list[BaseHook]:
        return [MarginDisparityHook(self.reversal, self.warmup)]
