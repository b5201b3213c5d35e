"""The modules that a recipe needs besides G and C."""

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
    """Modules of a recipe, by context key. Each has the recipe as its attribute `recipe`.

    models: trained modules, for upstream's `Models`.
    misc: modules with buffers only, for upstream's `Misc`.
    """

    models: dict[str, nn.Module]
    misc: dict[str, nn.Module]

    @property
    def recipe(self) -> Recipe | None:
        """The recipe that the modules carry."""
        return carried_recipe([*self.models.values(), *self.misc.values()])


def dmsrl_components(
    feature_dim: int,
    num_classes: int,
    num_target: int,
    recipe: str | Recipe = "default",
    total_steps: int | None = None,
    num_domains: int = 2,
) -> Components:
    """Returns the modules that a recipe needs besides G and C.

    They are for `DMSRL`, `DMSRLHook`, `attach_dmsrl` or single hooks. The recipe is chosen here only: the modules keep
    it, and adapter and hooks read it from them.

    Args:
        feature_dim: D, length of the features of G.
        num_classes: K.
        num_target: number of samples in the target data set, the range of `target_sample_idx`.
        recipe: "default", "published" or a `Recipe`.
        total_steps: training steps of the whole run, for warm-ups; None for the default of `TrainingProgress`.
        num_domains: above 2 to treat several sources as separate domains in the mutual information part. `src_domain`
            and `target_domain`, which upstream's data sets supply, must then be 0..num_domains-1; any number may be the
            target's. With 2 all sources are one domain, and the two keys are ignored.

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
    return Components(models, misc)


def carried_recipe(modules: Iterable[object]) -> Recipe | None:
    """Returns the recipe that modules, wrapped or not, were made for; None if none of them has one.

    Raises `ValueError` if they were made for different recipes.
    """
    inside = (part for module in modules if isinstance(module, nn.Module) for part in module.modules())
    carried = (getattr(part, ATTRIBUTE, None) for part in inside)
    found = [recipe for recipe in carried if isinstance(recipe, Recipe)]
    for recipe in found:
        if recipe != found[0]:
            raise ValueError(f"all modules must be of one recipe, got {described(found[0])} and {described(recipe)}")
    return found[0] if found else None


def one_recipe(recipe: str | Recipe | None, modules: Iterable[object]) -> Recipe | None:
    """Returns the given recipe or, without one, that of the modules; None if there is neither.

    Raises `ValueError` if both exist and differ, or as `get_recipe` and `carried_recipe` do.
    """
    carried = carried_recipe(modules)
    if recipe is None:
        return carried
    named = get_recipe(recipe)
    if carried is not None and named != carried:
        which = f"{described(named)}, and the modules are made for {described(carried)}"
        raise ValueError(f"recipe must be that of dmsrl_components, got {which}")
    return named
