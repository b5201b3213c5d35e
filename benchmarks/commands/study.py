"""`study`: runs what is missing of a study, and updates its quotes in README and docs."""

import argparse
import os
import shlex
from pathlib import Path

from ..grid import Report, Run, do_all
from ..quotes import draw, fill_pages
from ..results import result_files
from ..runs import TABLE, collect
from ..studies import Study, grid_state, read_study, state
from .options import add_grid_options, cluster, data_place, show_failures

HELP = "do the missing runs of a study, and update its tables and figures in README and docs"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the study, and how to run it."""
    parser.add_argument("name", help="study name; `studies` lists them")
    stale = "also repeat results that other code or other package versions have made"
    parser.add_argument("--redo-stale", action="store_true", help=stale)
    parser.add_argument("--no-runs", action="store_true", help="only update tables and figures from existing results")
    parser.add_argument("--table", type=Path, default=TABLE, help="table of runs (default: %(default)s)")
    add_grid_options(parser)
    where = "folder of unfinished studies (default: %(default)s)"
    parser.add_argument("--out", type=Path, default=Path("benchmark_results") / "studies", help=where)


def do(options: argparse.Namespace) -> int:
    """Runs, collects and updates quotes; the exit status is 0 if the study is complete."""
    study, table, failed = read_study(options.name), options.table, list[Report]()
    if not options.no_runs:
        for part in study.parts:
            failed += measure(part, options) if part.commands else run(part, options)
    for path in (*draw(study, table), *fill_pages(study.name, table)):
        print(path)
    status = show_failures(failed)
    return status or (1 if state(study, table).missing else 0)


def run(study: Study, options: argparse.Namespace) -> list[Report]:
    """Does the runs that the table lacks and adds them to it; returns the reports of failed runs."""
    found, folder = grid_state(study, options.table), options.out.resolve() / study.name
    first = study.seeds[0] if study.keeps_features else None
    keys = [*found.missing, *(found.stale if options.redo_stale else [])]
    runs = [Run(task, name, seed, seed == first) for task, name, seed in keys]
    if not runs:
        return []
    how = options.jobs, cluster(options), options.redo_stale
    reports = do_all(runs, study.plan, data_place(options), folder, *how)
    if result_files(folder):
        collect([folder], study.name, options.table)
    return [report for report in reports if report.error]


def measure(study: Study, options: argparse.Namespace) -> list[Report]:
    """Runs the commands of missing files, and of stale ones with --redo-stale."""
    from ..cli import main  # the command line imports this module

    if options.data_dir:
        os.environ["DMSRL_ADAPT_DATA"] = str(options.data_dir)
    found = state(study)
    for file in [*found.missing, *(found.stale if options.redo_stale else [])]:
        for command in study.commands[file]:
            main(shlex.split(command))
    return []
