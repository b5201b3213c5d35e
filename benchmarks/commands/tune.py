"""`tune`: hyper-parameter search with the same number of trials for every method."""

import argparse
from pathlib import Path

from dmsrl_adapt.trainer.validators import BY_LABELS, SELECTOR, VALIDATORS

from ..grid import do_all
from ..methods import split_names
from ..tables import as_text
from ..tasks import TUNING
from ..training import Plan
from .options import add_grid_options, add_length, cluster, data_place, known_tasks, positive, seeds_of, show_failures

HELP = "search for hyper-parameters, with the same number of trials for every method"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds tasks, methods, trials, criterion and output folder."""
    parser.add_argument("--tasks", default=",".join(TUNING), help="names, separated by commas (default: %(default)s)")
    parser.add_argument("--methods", default="dann,mcd,mcc,dmsrl", help="names (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=20, help="trials per method (default: %(default)s)")
    add_length(parser, seeds="0")
    by = f"a label-free validator, or {BY_LABELS} for labels of the target's validation part (default: %(default)s)"
    parser.add_argument("--select-by", choices=(*VALIDATORS, BY_LABELS), default=SELECTOR, help=by)
    add_grid_options(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark_tuning"), help="folder of log and runs (default: %(default)s)"
    )


def do(options: argparse.Namespace) -> int:
    """Runs the search and prints the best settings."""
    try:
        from ..tune import Search, rows, tune
    except ModuleNotFoundError as error:  # only the search needs Optuna
        raise ImportError(f"tune needs {error.name}: python -m pip install '.[bench]'") from error
    steps, trials = positive(options.steps, "--steps"), positive(options.trials, "--trials")
    seeds = tuple(seeds_of(options))
    search = Search(tuple(known_tasks(options.tasks)), seeds, steps, options.select_by)
    plan, place, out = Plan(steps=steps, score_on="validation"), data_place(options), options.out.resolve()
    joined, names = cluster(options), split_names(options.methods)
    log, failed = tune(names, search, trials, out, lambda runs: do_all(runs, plan, place, out, options.jobs, joined))
    print(f"\nmean over runs of {options.select_by}, higher is better\n{as_text(rows(log))}")
    return show_failures(failed)
