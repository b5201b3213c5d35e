"""`run`: trains a grid of runs and writes a report."""

import argparse
import sys
from pathlib import Path

from dmsrl_adapt.data import open_data

from ..grid import OwnTask, Run, do_all
from ..methods import get_method, split_names
from ..provenance import marked
from ..report import notes, write_report
from ..results import read_results
from ..sensitivity import methods as changed_methods
from ..tables import as_text, by_task_and_method, task_rows
from ..training import Plan
from .options import (
    add_grid_options,
    add_length,
    add_network,
    add_own_data,
    cluster,
    data_place,
    known_tasks,
    own_task,
    plan_network,
    positive,
    seeds_of,
    show_failures,
)

HELP = "train methods on tasks, score them, and write a report (default: the embedded task)"
METHODS = "source_only,dann,mcd,mcc,mcc_augmented,dmsrl_published,dmsrl,target_supervised"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds tasks, methods, seeds and output folder."""
    parser.add_argument("--tasks", default="embedded", help="task names, separated by commas; `list` shows them")
    what = (
        "method names, separated by commas; `sensitivity`: dmsrl with each number of its recipe halved and doubled "
        f"(default: {METHODS})"
    )
    parser.add_argument("--methods", help=what)
    add_length(parser, seeds="0,1,2")
    parts = ("test", "validation")
    parser.add_argument("--score-on", choices=parts, default="test", help="part of the target to score on")
    add_network(parser)
    add_grid_options(parser)
    stale = "repeat results that other code or other package versions have made"
    parser.add_argument("--redo-stale", action="store_true", help=stale)
    add_own_data(parser, "your own data instead of --tasks: folders of images, or .npz files")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark_results"), help="folder of results (default: %(default)s)"
    )


def do(options: argparse.Namespace) -> int:
    """Does the missing runs, prints the tables, and writes the report."""
    plan = Plan(steps=positive(options.steps, "--steps"), score_on=options.score_on, network=plan_network(options))
    names, seeds = method_names(options), seeds_of(options)
    for name in names:
        get_method(name)
    runs = [Run(task, name, seed, seed == seeds[0]) for task in tasks(options) for name in names for seed in seeds]
    how = options.jobs, cluster(options), options.redo_stale
    reports = do_all(runs, plan, data_place(options), options.out.resolve(), *how)
    done = {report.task for report in reports}
    for task, of_task in by_task_and_method(marked(read_results(options.out))).items():
        if task in done:
            print(f"\n{task}: target, in %, last step first\n{notes(of_task)}\n{as_text(task_rows(of_task))}")
    status = show_failures([report for report in reports if report.error])
    if any(not report.error for report in reports):
        path = write_report(options.out)
        print(f"\nReport: {path.with_suffix('.html')}, {path}")
    return status


def tasks(options: argparse.Namespace) -> list[str | OwnTask]:
    """Returns the tasks of the options. Raises `ValueError` for unknown tasks."""
    if not (options.source or options.target):
        return [*known_tasks(options.tasks)]
    return [own_task(options)]


def method_names(options: argparse.Namespace) -> list[str]:
    """Returns the methods of the options; the default leaves out those that need missing target labels."""
    names, target = split_names(options.methods or METHODS), options.target
    names = [one for name in names for one in (changed_methods() if name == "sensitivity" else [name])]
    if options.methods or not (target and target.exists()) or open_data(target).labels is not None:
        return names
    left = [name for name in names if get_method(name).is_supervised]
    print(f"note: {target} has no labels; left out, since they need them: {', '.join(left)}", file=sys.stderr)
    return [name for name in names if name not in left]
