"""The command line: run, report, list, speed, labels."""

import argparse
import os
import sys
from pathlib import Path

from .grid import OwnTask, Report, Run, do_all
from .labels import TASKS, write_labels
from .labels import rows as label_rows
from .methods import get_method, methods, split_names
from .report import notes, write_report
from .results import as_text, by_task_and_method, read_results, table
from .speed import BASELINES, write_speed
from .speed_labeler import rows, write_labeler_speed
from .tasks import DataError, DataPlace, families, task_names
from .tasks.own_data import is_labelled, left_out
from .training import Plan

METHODS = "source_only,dann,mcd,mcc,mcc_style,dmsrl_published,dmsrl,target_supervised"


def parser() -> argparse.ArgumentParser:
    """Gives the command line's parser."""
    cli = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare DMSRL with other methods.")
    commands = cli.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train, score, and report; without arguments the embedded task")
    run.add_argument("--tasks", default="embedded", help="names, separated by commas; `list` shows them")
    run.add_argument("--methods", help=f"names, separated by commas (default: {METHODS})")
    run.add_argument("--seeds", default="0,1,2", help="numbers, separated by commas (default: %(default)s)")
    run.add_argument("--steps", type=int, default=400, help="training steps of a run (default: %(default)s)")
    run.add_argument(
        "--score-on", choices=("test", "validation"), default="test", help="part of the target to score on"
    )
    run.add_argument("--network", default="small", help='"small", "frozen" (own images), or the name of a timm model')
    run.add_argument("--jobs", type=int, help="runs at a time (default: one a core)")
    run.add_argument("--data-dir", type=Path, help="folder of .npz data sets (default: $DMSRL_ADAPT_DATA)")
    run.add_argument("--download", action="store_true", help="fetch digits that the folder lacks")
    own = run.add_argument_group("your own data, instead of --tasks: folders with images, or .npz files")
    own.add_argument("--source", type=Path, help="labelled source: a folder of class folders, or .npz")
    own.add_argument(
        "--target", type=Path, help="target: images right in a folder, or like a source; labels score only"
    )
    own.add_argument("--target-test", type=Path, help="scoring part (default: 30 %% of the target)")
    own.add_argument("--size", type=int, default=32, help="side to which own images are resized (default: %(default)s)")
    run.add_argument("--out", type=Path, default=Path("benchmark_results"), help="results (default: %(default)s)")
    report = commands.add_parser("report", help="table and pictures of a folder of results")
    report.add_argument("folder", type=Path)
    speed = commands.add_parser("speed", help="time of a training step, of the backbone, or of labelling the target")
    what = (
        "a training step to DANN's (step), MultiLevelBackbone to the bare network (backbone), or labelling the target "
        "by prototypes, over its size (labeler) (default: %(default)s)"
    )
    speed.add_argument("what", nargs="?", choices=(*BASELINES, "labeler"), default="step", help=what)
    speed.add_argument("--network", default="resnet18", help="name of a timm model (default: %(default)s)")
    speed.add_argument("--size", type=int, default=64, help="side of the images in pixels (default: %(default)s)")
    speed.add_argument("--batch-size", type=int, default=32, help="images a domain and step (default: %(default)s)")
    speed.add_argument("--rounds", type=int, help="counted steps a method, passes with labeler (default: 20, 3)")
    speed.add_argument("--out", type=Path, default=Path("benchmark_results"), help="folder (default: %(default)s)")
    labels = commands.add_parser("labels", help="how many pseudo labels are right, on the tasks for choosing settings")
    labels.add_argument("--tasks", default=",".join(TASKS), help="names, separated by commas (default: %(default)s)")
    labels.add_argument("--seeds", default="0,1,2", help="numbers, separated by commas (default: %(default)s)")
    labels.add_argument("--steps", type=int, default=400, help="training steps of a run (default: %(default)s)")
    labels.add_argument("--data-dir", type=Path, help="folder of .npz data sets (default: $DMSRL_ADAPT_DATA)")
    labels.add_argument("--out", type=Path, default=Path("benchmark_results"), help="folder (default: %(default)s)")
    commands.add_parser("list", help="show tasks and methods")
    return cli


def main(arguments: list[str] | None = None) -> int:
    """Does what the arguments say; gives the exit status."""
    options = parser().parse_args(arguments)
    try:
        return {"run": run, "report": report, "list": show, "speed": speed, "labels": labels}[options.command](options)
    except (DataError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    """Trains what is missing, prints the tables, writes the report."""
    plan = Plan(steps=positive(options.steps, "--steps"), score_on=options.score_on, network=plan_network(options))
    names, seeds = method_names(options), [int(seed) for seed in options.seeds.split(",")]
    for name in names:
        get_method(name)
    runs = [Run(task, name, seed, seed == seeds[0]) for task in tasks(options) for name in names for seed in seeds]
    folder = options.data_dir or os.environ.get("DMSRL_ADAPT_DATA")
    place = DataPlace(Path(folder) if folder else None, options.download)
    reports = do_all(runs, plan, place, options.out, options.jobs)
    done = {report.task for report in reports}
    for task, of_task in by_task_and_method(read_results(options.out)).items():
        if task in done:
            print(f"\n{task}: target, in %, last step first\n{notes(of_task)}\n{as_text(table(of_task))}")
    if any(not report.error for report in reports):
        print(f"\nReport and pictures: {write_report(options.out)}")
    failed = [report for report in reports if report.error]
    for line in failures(failed):
        print(f"\nfailed: {line}", file=sys.stderr)
    return 1 if failed else 0


def failures(failed: list[Report]) -> list[str]:
    """Gives a text for every error, with the runs that it met: one missing file fails every run of a task."""
    met: dict[tuple[str, str], dict[str, list[str]]] = {}
    for report in failed:
        methods_met = met.setdefault((report.task, str(report.error)), {})
        methods_met.setdefault(report.run.method, []).append(str(report.run.seed))
    lines = []
    for (task, error), of_error in met.items():
        named = "; ".join(f"{name} seed {', '.join(sorted(seeds))}" for name, seeds in of_error.items())
        lines.append(f"{task} {named}: {error}")
    return lines


def tasks(options: argparse.Namespace) -> list[str | OwnTask]:
    """Gives the tasks that the options name. Raises `ValueError` for unknown ones."""
    if options.source or options.target:
        if not (options.source and options.target):
            raise ValueError("--source and --target go together")
        for path in (options.source, options.target, options.target_test):
            if path and (strays := left_out(path)):
                print(f"note: {path}: {len(strays)} files are left out, such as {strays[0]}", file=sys.stderr)
        size = 128 if options.network == "frozen" else options.size
        return [OwnTask(options.source, options.target, options.target_test, positive(size, "--size"), options.network)]
    names = options.tasks.split(",")
    unknown = sorted(set(names) - set(task_names()))
    if unknown:
        raise ValueError(f"there are no tasks {unknown}; there are {', '.join(task_names())}")
    return list(names)


def method_names(options: argparse.Namespace) -> list[str]:
    """Gives the methods that the options name; without any named those that the target's labels suffice for."""
    names, target = split_names(options.methods or METHODS), options.target
    if options.methods or not (target and target.exists()) or is_labelled(target):
        return names
    left = [name for name in names if get_method(name).is_supervised]
    print(f"note: {target} has no labels, so {', '.join(left)}, which learns from them, is not run", file=sys.stderr)
    return [name for name in names if name not in left]


def plan_network(options: argparse.Namespace) -> str:
    """The network to train: on frozen features there is a bottleneck only, whatever its name."""
    return "small" if options.network == "frozen" else str(options.network)


def positive(value: int, name: str) -> int:
    """Gives the value. Raises `ValueError` below 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value


def report(options: argparse.Namespace) -> int:
    """Writes table and pictures of a folder of results."""
    print(write_report(options.folder))
    return 0


def speed(options: argparse.Namespace) -> int:
    """Measures, prints and writes times."""
    if options.what == "labeler":
        print(as_text(rows(write_labeler_speed(options.out, positive(options.rounds or 3, "--rounds")))))
        return 0
    options.rounds = 20 if options.rounds is None else options.rounds
    sizes = {name: positive(getattr(options, name), f"--{name}") for name in ("size", "batch_size", "rounds")}
    measured = write_speed(options.out, options.what, options.network, **sizes)
    ordered = sorted(measured.items(), key=lambda item: item[1])
    head = ["method", "step / DANN's"] if options.what == "step" else ["features", "time / the bare network's"]
    digits = 2 if options.what == "step" else 3
    print(as_text([head, *([name, f"{ratio:.{digits}f}"] for name, ratio in ordered)]))
    return 0


def labels(options: argparse.Namespace) -> int:
    """Counts right pseudo labels, prints the table so far after every run, and writes them."""
    folder = options.data_dir or os.environ.get("DMSRL_ADAPT_DATA")
    place, seeds = DataPlace(Path(folder) if folder else None), [int(seed) for seed in options.seeds.split(",")]
    names, steps = options.tasks.split(","), positive(options.steps, "--steps")
    for runs in write_labels(options.out, place, names, seeds, steps):
        print(f"{as_text(label_rows(runs))}\n", flush=True)
    return 0


def show(options: argparse.Namespace) -> int:
    """Prints the names of tasks and methods."""
    for family in families():
        print(f"{(family.__doc__ or '').splitlines()[0]}\n  {', '.join(family.NAMES)}\n  licence: {family.LICENCE}\n")
    print(f"Methods: {', '.join(methods())}")
    return 0
