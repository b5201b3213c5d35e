"""The modules that DMSRL needs besides G and C."""

from dataclasses import dataclass

from torch import nn

from . import keys
from .labelers import ArgmaxLabeler, PrototypeLabeler
from .losses import AdversarialMILoss, CLUBLoss, CosineMarginLoss, DomainBranch, MarginMetricLoss
from .recipe import Recipe, get_recipe
from .training import SourceAccuracy, TrainingProgress


@dataclass(frozen=True)
class Components:
    """Modules by the key under which hooks look for them.

    models: trained modules, for upstream's `Models`.
    misc: modules with buffers only, for upstream's `Misc`.
    """

    models: dict[str, nn.Module]
    misc: dict[str, nn.Module]


def dmsrl_components(
    feature_dim: int,
    num_classes: int,
    num_target: int,
    recipe: str | Recipe = "default",
    total_steps: int | None = None,
    num_domains: int = 2,
) -> Components:
    """Gives the modules that a recipe needs besides G and C, ready for `DMSRL`, `DMSRLHook` or the single hooks.

    Args:
        feature_dim: D, length of the features that G gives.
        num_classes: K.
        num_target: number of samples in the target data set, over which `target_sample_idx` runs.
        recipe: "default", "published" or a `Recipe`; the same as for the hook or adapter.
        total_steps: training steps of the whole run, for the ramps; None leaves it to `TrainingProgress`.
        num_domains: above 2 for several sources as domains of their own in the mutual information term. The numbers in
            `src_domain` and `target_domain`, as upstream's data sets give them, are then 0..num_domains-1, any of them
            the target's. With 2 all sources are one domain, whatever their numbers.

    Raises:
        ValueError: unknown recipe, a size below 1, or more than two domains for the two-branch form.

    Examples:
        >>> parts = dmsrl_components(feature_dim=8, num_classes=3, num_target=100)
        >>> sorted(parts.models), sorted(parts.misc)
        (['margin_metric', 'mi_critic'], ['pseudo_labeler', 'source_accuracy', 'training_progress'])
    """
    recipe = get_recipe(recipe)
    models: dict[str, nn.Module] = {}
    misc: dict[str, nn.Module] = {keys.TRAINING_PROGRESS: TrainingProgress(total_steps)}
    if recipe.follows_skill:
        misc[keys.SOURCE_ACCURACY] = SourceAccuracy(num_classes)
    if recipe.margin == "cosine":
        margin_settings = {"scale": recipe.margin_scale, "margin": recipe.margin_size}
        models[keys.MARGIN_METRIC] = CosineMarginLoss(num_classes, feature_dim, **margin_settings)
    elif recipe.margin is not None:
        models[keys.MARGIN_METRIC] = MarginMetricLoss(num_classes, feature_dim, margin=recipe.margin_size)
    if recipe.mi == "two_branch" and num_domains > 2:
        raise ValueError(
            f"num_domains must be 2 for mi='two_branch', whose branch tells two domains, got {num_domains}"
        )
    if recipe.mi == "two_branch":
        branch = DomainBranch(feature_dim)
        models |= {keys.MI_BRANCH: branch, keys.MI_ESTIMATOR: CLUBLoss(feature_dim, branch.branch_dim)}
    elif recipe.mi is not None:
        models[keys.MI_CRITIC] = AdversarialMILoss(
            feature_dim, num_classes if recipe.mi == "conditional" else None, num_domains=num_domains
        )
    if recipe.labeler == "argmax":
        misc[keys.PSEUDO_LABELER] = ArgmaxLabeler()
    elif recipe.labeler is not None:
        threshold = recipe.label_threshold
        misc[keys.PSEUDO_LABELER] = PrototypeLabeler(num_classes, feature_dim, num_target, threshold=threshold)
    return Components(models, misc)
