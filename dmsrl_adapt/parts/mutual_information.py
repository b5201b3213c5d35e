"""Parts: minimisation of the mutual information between features and domain."""

from dataclasses import dataclass, replace
from typing import ClassVar

from pytorch_adapt.hooks import FinetunerHook
from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..checks import check_fractions
from ..hooks import MIMinimizationHook, TwoBranchMIHook
from ..losses import AdversarialMILoss, CLUBLoss, DomainBranch
from ..training import WarmUp
from .part import FIXED_G, Factory, OptimizerChoice, Part, Sizes, Space

BRANCH_DIM = 1  # the log odds of two domains, which is all that the branch has to tell


@dataclass(frozen=True)
class MutualInformation(Part, is_base=True):
    """Base class of the mutual information parts.

    Args:
        weight: of `mi_loss`, for both critic and features, at least 0.
    """

    kind: ClassVar = "mi"
    trace: ClassVar = keys.MI_LOSS
    refused_by: ClassVar = {**Part.refused_by, FinetunerHook: FIXED_G}
    search_space: ClassVar[dict[str, Space]] = {"weight": (0.03, 3.0)}

    weight: float
    warmup: WarmUp = WarmUp.LINEAR

    @property
    def loss_weights(self) -> dict[str, float]:
        return {keys.MI_LOSS: self.weight}

    def ablated(self) -> Part:
        return replace(self, weight=0.0)


@dataclass(frozen=True)
class ConditionalMI(MutualInformation):
    """Lowers I(feature; domain | class) by a class-wise domain critic, as in MADA.

    The critic's losses are weighted by class probabilities; see `MIMinimizationHook` and `AdversarialMILoss`.

    Args:
        weight: of `mi_loss`, for both critic and features, at least 0.
        warmup: of the reversed gradient that reaches the features.
        entropy_conditioning: weight target samples by the certainty of their prediction, as in CDAN+E.
        label_smoothing: of the critic's domain labels, 0..1, as in ELS; see `AdversarialMILoss`.

    Raises:
        ValueError: a number out of range.

    Reference:
        Pei et al., Multi-Adversarial Domain Adaptation, AAAI 2018, arXiv 1809.02176; Long et al., Conditional
        Adversarial Domain Adaptation, NeurIPS 2018, arXiv 1705.10667.
    """

    entropy_conditioning: bool = True
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(label_smoothing=self.label_smoothing)

    def models(self) -> dict[str, Factory]:
        return {keys.MI_CRITIC: self._critic}

    def _critic(self, sizes: Sizes) -> AdversarialMILoss:
        return AdversarialMILoss(
            sizes.feature_dim,
            sizes.num_classes,
            num_domains=sizes.num_domains,
            label_smoothing=self.label_smoothing,
        )

    def hooks(self) -> list[BaseHook]:
        hook = MIMinimizationHook(
            conditional=True,
            warmup=self.warmup,
            entropy_conditioning=self.entropy_conditioning,
        )
        return [hook]


@dataclass(frozen=True)
class MarginalMI(MutualInformation):
    """Lowers I(feature; domain) by a domain critic behind gradient reversal, as in DANN. The published form.

    Args:
        weight: of `mi_loss`, for both critic and features, at least 0.
        warmup: of the reversed gradient that reaches the features.
        label_smoothing: of the critic's domain labels, 0..1, as in ELS; see `AdversarialMILoss`.

    Raises:
        ValueError: a number out of range.

    Reference:
        Ganin et al., JMLR 2016, arXiv 1505.07818.
    """

    search_space: ClassVar[dict[str, Space]] = {"weight": (0.003, 1.0)}

    warmup: WarmUp = WarmUp.NONE
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(label_smoothing=self.label_smoothing)

    def models(self) -> dict[str, Factory]:
        return {keys.MI_CRITIC: self._critic}

    def _critic(self, sizes: Sizes) -> AdversarialMILoss:
        smoothing = self.label_smoothing
        return AdversarialMILoss(sizes.feature_dim, num_domains=sizes.num_domains, label_smoothing=smoothing)

    def hooks(self) -> list[BaseHook]:
        return [MIMinimizationHook(conditional=False, warmup=self.warmup)]


@dataclass(frozen=True)
class TwoBranchMI(MutualInformation):
    """Lowers an upper bound (CLUB) on the mutual information of features and a domain-sensitive branch on them.

    See `TwoBranchMIHook`. The losses of branch and estimator have weight 1, and their learning rate is four times the
    usual one, because the bound holds only while they keep up with the features.

    Args:
        weight: of `mi_loss`, at least 0.
        warmup: of the bound's gradient.

    Raises:
        ValueError: a number out of range; when its modules are made, more than two domains.

    Reference:
        Cheng et al., ICML 2020, arXiv 2006.12013.
    """

    def models(self) -> dict[str, Factory]:
        return {keys.MI_BRANCH: self._branch, keys.MI_ESTIMATOR: self._estimator}

    def _branch(self, sizes: Sizes) -> DomainBranch:
        if sizes.num_domains > 2:
            raise ValueError(f"num_domains must be 2 for TwoBranchMI, got {sizes.num_domains}")
        return DomainBranch(sizes.feature_dim, branch_dim=BRANCH_DIM)

    def _estimator(self, sizes: Sizes) -> CLUBLoss:
        return CLUBLoss(sizes.feature_dim, BRANCH_DIM)

    def hooks(self) -> list[BaseHook]:
        return [TwoBranchMIHook(warmup=self.warmup)]

    @property
    def loss_weights(self) -> dict[str, float]:
        return {keys.MI_LOSS: self.weight, keys.MI_ESTIMATOR_LOSS: 1.0, keys.MI_BRANCH_LOSS: 1.0}

    def optimizers(self, usual: OptimizerChoice) -> dict[str, OptimizerChoice]:
        kind, settings = usual
        return dict.fromkeys(self.models(), (kind, {**settings, "lr": 4 * settings["lr"]}))
