"""`run`: a grid of runs, and the report on them."""

import argparse
import sys
from pathlib import Path

from ..grid import OwnTask, Run, do_all
from ..methods import get_method, split_names
from ..report import notes, write_report
from ..results import as_text, by_task_and_method, read_results, table
from ..sensitivity import methods as changed_methods
from ..tasks.own_data import is_labelled, left_out
from ..training import Plan
from .options import add_grid_options, add_length, cluster, data_place, known_tasks, positive, seeds_of, show_failures

HELP = "train, score, and report; without arguments the embedded task"
METHODS = "source_only,dann,mcd,mcc,mcc_style,dmsrl_published,dmsrl,target_supervised"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what to run, on what, and how."""
    parser.add_argument("--tasks", default="embedded", help="names, separated by commas; `list` shows them")
    what = (
        "names, separated by commas; `sensitivity`: dmsrl with each number of its recipe halved and doubled (default: "
        f"{METHODS})"
    )
    parser.add_argument("--methods", help=what)
    add_length(parser, seeds="0,1,2")
    parts = ("test", "validation")
    parser.add_argument("--score-on", choices=parts, default="test", help="part of the target to score on")
    networks = '"small", "pooled", "frozen" (own images), or the name of a timm model'
    parser.add_argument("--network", default="small", help=networks)
    add_grid_options(parser)
    own = parser.add_argument_group("your own data, instead of --tasks: folders with images, or .npz files")
    own.add_argument("--source", type=Path, help="labelled source: a folder of class folders, or .npz")
    target = "target: images right in a folder, or like a source; labels score only"
    own.add_argument("--target", type=Path, help=target)
    own.add_argument("--target-test", type=Path, help="scoring part (default: 30 %% of the target)")
    own.add_argument("--size", type=int, default=32, help="side to which own images are resized (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmark_results"), help="results (default: %(default)s)")


def do(options: argparse.Namespace) -> int:
    """Trains what is missing, prints the tables, writes the report."""
    plan = Plan(steps=positive(options.steps, "--steps"), score_on=options.score_on, network=plan_network(options))
    names, seeds = method_names(options), seeds_of(options)
    for name in names:
        get_method(name)
    runs = [Run(task, name, seed, seed == seeds[0]) for task in tasks(options) for name in names for seed in seeds]
    reports = do_all(runs, plan, data_place(options), options.out.resolve(), options.jobs, cluster(options))
    done = {report.task for report in reports}
    for task, of_task in by_task_and_method(read_results(options.out)).items():
        if task in done:
            print(f"\n{task}: target, in %, last step first\n{notes(of_task)}\n{as_text(table(of_task))}")
    status = show_failures([report for report in reports if report.error])
    if any(not report.error for report in reports):
        path = write_report(options.out)
        print(f"\nReport and pictures: {path.with_suffix('.html')}, {path}")
    return status


def tasks(options: argparse.Namespace) -> list[str | OwnTask]:
    """Gives the tasks that the options name. Raises `ValueError` for unknown ones."""
    if not (options.source or options.target):
        return [*known_tasks(options.tasks)]
    if not (options.source and options.target):
        raise ValueError("--source and --target go together")
    for path in (options.source, options.target, options.target_test):
        if path and (strays := left_out(path)):
            print(f"note: {path}: {len(strays)} files are left out, such as {strays[0]}", file=sys.stderr)
    size = 128 if options.network == "frozen" else options.size
    return [OwnTask(options.source, options.target, options.target_test, positive(size, "--size"), options.network)]


def method_names(options: argparse.Namespace) -> list[str]:
    """Gives the methods that the options name; without any named those that the target's labels suffice for."""
    names, target = split_names(options.methods or METHODS), options.target
    names = [one for name in names for one in (changed_methods() if name == "sensitivity" else [name])]
    if options.methods or not (target and target.exists()) or is_labelled(target):
        return names
    left = [name for name in names if get_method(name).is_supervised]
    print(f"note: {target} has no labels, so {', '.join(left)}, which learns from them, is not run", file=sys.stderr)
    return [name for name in names if name not in left]


def plan_network(options: argparse.Namespace) -> str:
    """The network to train: on frozen features there is a bottleneck only, whatever its name."""
    return "small" if options.network == "frozen" else str(options.network)
