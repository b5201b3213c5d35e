"""Choice of settings without target labels, by short runs."""

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..recipe import Recipe, get_recipe
from .networks import RANDOM
from .optimizers import OptimizerSettings

SHORTER = 4  # a trial has a quarter of the steps
LEARNING_RATES = (0.3, 3.0)  # factors on the usual one


def candidates(recipe: Recipe, lr: float, count: int, seed: int) -> list[tuple[Recipe, float]]:
    """Returns recipes and learning rates to try: first the given ones, then random ones around them.

    Each has another learning rate and another value of one setting that a part offers for search.

    Examples:
        >>> from dmsrl_adapt import DEFAULT
        >>> [first, second] = candidates(DEFAULT, 0.001, count=2, seed=0)
        >>> first == (DEFAULT, 0.001), second[0] == DEFAULT
        (True, False)
    """
    draws, found = random.Random(seed), [(recipe, lr)]
    places = [(part.kind, name, where) for part in recipe for name, where in part.search_space.items()]
    while len(found) < count:
        changed = recipe
        if places:
            kind, name, where = draws.choice(places)
            changed = recipe.replace(kind, **{name: drawn(where, draws)})
        found.append((changed, lr * log_uniform(LEARNING_RATES, draws)))
    return found[:count]


def drawn(where: Any, draws: random.Random) -> Any:
    """Returns a value of a search space: one of a list, or of a range on a logarithmic scale."""
    return draws.choice(where) if isinstance(where, list) else round(log_uniform(where, draws), 4)


def log_uniform(ends: tuple[float, float], draws: random.Random) -> float:
    """Returns a number between two, uniform on a logarithmic scale."""
    return math.exp(draws.uniform(*map(math.log, ends)))


def best_of_trials(train: Callable[..., Any], given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Returns the arguments of a run with the recipe and learning rate of the trial with the best label-free score.

    The score is that of `validators.SELECTOR` at the end of a trial. It can err.

    Args:
        train: the function.
        given: its arguments; `trials` is the number of trials, which lie beside `out`.
        steps: of the whole run.
    """
    is_pretrained = given["weights"] != RANDOM and given["model"] != "frozen"
    usual = OptimizerSettings(given["optimizer"], given["lr"]).complete(is_pretrained)
    tried = candidates(get_recipe(given["recipe"]), usual.lr or 0.0, given["trials"], given["seed"])
    folder = Path(given["out"]).with_name(f"{Path(given['out']).name}-trials")
    scores = []
    for number, (recipe, lr) in enumerate(tried):
        out = folder / str(number)
        shorter = {"steps": max(1, steps // SHORTER), "epochs": None, "trials": 0, "out": out}
        run = train(**{**given, **shorter, "recipe": recipe, "lr": lr, "resume": (out / "run.json").is_file()})
        score = run.curve[-1]["selector"]
        scores.append(-math.inf if score is None else score)
    recipe, lr = tried[scores.index(max(scores))]
    return {**given, "recipe": recipe, "lr": lr, "trials": 0}
