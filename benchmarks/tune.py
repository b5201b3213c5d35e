"""Hyper-parameter search by Optuna, with the same number of trials for every method.

A trial trains one set of settings on every tuning task with every seed, and is scored on the validation part of the
target; the test part is not used. Its value is the mean over runs of a label-free validator's score after the last
step. With `select_by="validation"` it is the mean headline score on the validation part, which needs target labels. The
first trial of a method uses its settings in `methods/`. `tuning.json` is the log.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from dmsrl_adapt.trainer.validators import BY_LABELS

from .grid import Report, Run
from .methods import Method, get_method
from .results import Result, run_path, write_whole

LOG = "tuning.json"
Settings = dict[str, Any]
Do = Callable[[list[Run]], list[Report]]


@dataclass(frozen=True)
class Search:
    """Conditions of a search. A log can only be continued under the same conditions.

    select_by: name of a validator, or `BY_LABELS`.
    """

    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    select_by: str

    def described(self) -> dict[str, Any]:
        """Returns the conditions as the log stores them."""
        return {
            "tasks": list(self.tasks),
            "seeds": list(self.seeds),
            "steps": self.steps,
            "select_by": self.select_by,
        }


def distributions(method: Method) -> dict[str, BaseDistribution]:
    """Returns the search space of a method. Raises `ValueError` if it has nothing to tune."""
    if not method.space:
        raise ValueError(f"{method.name} has nothing to tune")
    return {
        key: CategoricalDistribution(values) if isinstance(values, list) else FloatDistribution(*values, log=True)
        for key, values in method.space.items()
    }


def named(method: Method, settings: Mapping[str, Any]) -> str:
    """Returns the method's name with the settings that differ from its defaults in brackets."""
    changed = {key: value for key, value in settings.items() if value != method.settings[key]}
    texts = (f"{key}={json.dumps(value)}" for key, value in changed.items())
    return f"{method.name}[{','.join(texts)}]" if changed else method.name


def next_settings(method: Method, trials: Sequence[Mapping[str, Any]]) -> Settings:
    """Returns the settings of the next trial: the method's defaults first, then suggestions of Optuna.

    An interrupted search continues with the same settings.
    """
    space = distributions(method)
    if not trials:
        return {key: method.settings[key] for key in space}
    sampler = optuna.samplers.TPESampler(seed=len(trials), n_startup_trials=4, multivariate=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in trials:
        # the defaults may lie outside of the search space
        known = {key: nearest(space[key], value) for key, value in trial["settings"].items()}
        value, state = trial["value"], optuna.trial.TrialState
        how = {"value": value, "state": state.COMPLETE} if value is not None else {"state": state.FAIL}
        study.add_trial(optuna.trial.create_trial(params=known, distributions=space, **how))
    asked = study.ask(space).params
    return {key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in asked.items()}


def nearest(distribution: BaseDistribution, value: Any) -> Any:
    """Returns the value of a distribution that is nearest to the given one."""
    if isinstance(distribution, FloatDistribution):
        return float(np.clip(value, distribution.low, distribution.high))
    return value


def value_of(results: Sequence[Result], select_by: str) -> float | None:
    """Returns the mean over runs of the last step's score, higher is better; None if a model diverged."""
    points = [result["curve"][-1] for result in results]
    metrics = [result["metric"] for result in results]
    if select_by == BY_LABELS:
        values = [point[metric] for point, metric in zip(points, metrics, strict=True)]
    else:
        values = [point["validators"][select_by] for point in points]
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if len(known) == len(values) else None


def tune(
    names: Sequence[str], search: Search, trials: int, folder: Path, do: Do
) -> tuple[dict[str, Any], list[Report]]:
    """Runs trials until every method has `trials`, and writes the log after each round of one trial per method.

    Args:
        names: methods to tune.
        search: conditions of the search.
        trials: number of trials per method, including those in the log.
        folder: folder of the log and of the runs' results; finished trials in it are not repeated.
        do: runs the grid and writes the results into the folder.

    Returns:
        The log, and the reports of failed runs. A method with a failed run gets no further trials.

    Raises:
        ValueError: the folder has the log of another search, or a method has nothing to tune.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    methods = {name: get_method(name) for name in names}
    for method in methods.values():
        distributions(method)
    log = read_log(folder, search)
    failed: list[Report] = []
    while True:
        stopped = {report.run.method.partition("[")[0] for report in failed}
        missing = [name for name in names if len(log["trials"].get(name, [])) < trials and name not in stopped]
        if not missing:
            return log, failed
        asked = {name: next_settings(methods[name], log["trials"].get(name, [])) for name in missing}
        tried = {name: named(methods[name], settings) for name, settings in asked.items()}
        grid = [Run(task, one, seed) for one in tried.values() for task in search.tasks for seed in search.seeds]
        bad = [report for report in do(list(dict.fromkeys(grid))) if report.error]
        failed += bad
        for name in missing:
            if any(report.run.method == tried[name] for report in bad):
                continue
            paths = [run_path(folder, task, tried[name], seed) for task in search.tasks for seed in search.seeds]
            results = [json.loads(path.read_text()) for path in paths]
            trial = {"name": tried[name], "settings": asked[name], "value": value_of(results, search.select_by)}
            log["trials"].setdefault(name, []).append(trial)
        log["best"] = {name: best(of_method) for name, of_method in log["trials"].items()}
        write_whole(folder / LOG, log)


def best(trials: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Returns the trial with the best value, the first one if there are several."""
    return max(trials, key=lambda trial: -np.inf if trial["value"] is None else trial["value"])


def read_log(folder: Path, search: Search) -> dict[str, Any]:
    """Returns the log of this search, a new one if there is none. Raises `ValueError` for the log of another search."""
    path = folder / LOG
    if not path.exists():
        return {**search.described(), "trials": {}, "best": {}}
    log: dict[str, Any] = json.loads(path.read_text())
    differing = [key for key, value in search.described().items() if log[key] != value]
    if differing:
        raise ValueError(f"{path} is of a search with other {' and '.join(differing)}; name another folder with --out")
    return log


def rows(log: Mapping[str, Any]) -> list[list[str]]:
    """Returns a table of the results, one row per method."""
    shown = [["method", "trials", "default", "best", "best settings"]]
    for name, trials in log["trials"].items():
        values = ["-" if trial["value"] is None else f"{trial['value']:.4f}" for trial in (trials[0], best(trials))]
        shown.append([name, str(len(trials)), *values, best(trials)["name"]])
    return shown
