"""The modules that a recipe needs besides G and C, and how they carry their recipe."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from . import keys
from .parts import Sizes
from .recipe import Recipe, described, get_recipe
from .training import TrainingProgress

ATTRIBUTE = "recipe"  # of a module that `dmsrl_components` made


@dataclass(frozen=True)
class Components:
    """Modules by the key under which hooks look for them. Each of them carries the recipe as an attribute `recipe`.

    models: trained modules, for upstream's `Models`.
    misc: modules with buffers only, for upstream's `Misc`.
    recipe: what they were made for.
    """

    models: dict[str, nn.Module]
    misc: dict[str, nn.Module]
    recipe: Recipe


def dmsrl_components(
    feature_dim: int,
    num_classes: int,
    num_target: int,
    recipe: str | Recipe = "default",
    total_steps: int | None = None,
    num_domains: int = 2,
) -> Components:
    """Returns the modules that a recipe needs besides G and C, for `DMSRL`, `DMSRLHook`, `attach_dmsrl` or single hooks.

    The recipe is chosen here and only here: the modules carry it, and what uses them takes it from them.

    Args:
        feature_dim: D, length of the features that G gives.
        num_classes: K.
        num_target: number of samples in the target data set, over which `target_sample_idx` runs.
        recipe: "default", "published" or a `Recipe`.
        total_steps: training steps of the whole run, for warm-ups; None leaves it to `TrainingProgress`.
        num_domains: above 2 for several sources as domains of their own in the mutual information part. The numbers in
            `src_domain` and `target_domain`, as upstream's data sets give them, are then 0..num_domains-1, any of them
            the target's. With 2 all sources are one domain, whatever their numbers.

    Raises:
        ValueError: unknown recipe, a size below 1, or more than two domains for `TwoBranchMI`.

    Examples:
        >>> parts = dmsrl_components(feature_dim=8, num_classes=3, num_target=100)
        >>> sorted(parts.models), sorted(parts.misc)
        (['margin_metric', 'mi_critic'], ['pseudo_labeler', 'source_accuracy', 'training_progress'])
    """
    recipe, sizes = get_recipe(recipe), Sizes(feature_dim, num_classes, num_target, num_domains)
    models = recipe.models(sizes)
    misc = {keys.TRAINING_PROGRESS: TrainingProgress(total_steps), **recipe.misc(sizes)}
    for module in (*models.values(), *misc.values()):
        setattr(module, ATTRIBUTE, recipe)
    return Components(models, misc, recipe)


def carried_recipe(modules: Iterable[object]) -> Recipe | None:
    """Returns the recipe that modules, wrapped or not, were made for; None where none carries one.

    Raises `ValueError` where they were made for two.
    """
    inside = (part for module in modules if isinstance(module, nn.Module) for part in module.modules())
    carried = (getattr(part, ATTRIBUTE, None) for part in inside)
    found = [recipe for recipe in carried if isinstance(recipe, Recipe)]
    for recipe in found:
        if recipe != found[0]:
            raise ValueError(f"all modules must be of one recipe, got {described(found[0])} and {described(recipe)}")
    return found[0] if found else None


def one_recipe(said: str | Recipe | None, modules: Iterable[object]) -> Recipe | None:
    """Returns the recipe that the user named or that the modules carry; None where neither is there.

    Raises `ValueError` where both are there and differ, or as `get_recipe` and `carried_recipe` do.
    """
    carried = carried_recipe(modules)
    if said is None:
        return carried
    named = get_recipe(said)
    if carried is not None and named != carried:
        which = f"{described(named)}, and the modules are made for {described(carried)}"
        raise ValueError(f"recipe must be that of dmsrl_components, got {which}")
    return named
