"""A grid of runs on the cores of a machine or the workers of a cluster.

Finished runs are skipped, and a failed run does not stop the others.
"""

import signal
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from tqdm import tqdm

from dmsrl_adapt.data.fingerprint import fingerprint

from .cluster import Cluster
from .methods import get_method
from .provenance import commit
from .results import checkpoint_of, is_done, make_result, write_result
from .tasks import DataError, DataPlace, Task, load_task
from .tasks.own_data import load_own, task_name
from .training import Plan, train


@dataclass(frozen=True)
class OwnTask:
    """A task of the user's own data: arguments of `load_own`."""

    source: Path
    target: Path
    target_test: Path | None
    size: int
    network: str

    @property
    def name(self) -> str:
        """Name of the task in result files."""
        return task_name(self.source, self.target)

    def data(self) -> dict[str, Any]:
        """Returns what a result depends on, to distinguish it from results of other data with the same name."""
        paths = {"source": self.source, "target": self.target, "target_test": self.target_test}
        prints = {key: path and path.exists() and fingerprint(path) for key, path in paths.items()}
        return {**prints, "size": self.size, "frozen": self.network == "frozen"}


@dataclass(frozen=True)
class Run:
    """One run of the grid.

    keeps_embedding: also write some features, for figures.
    """

    task: str | OwnTask
    method: str
    seed: int
    keeps_embedding: bool = False


@dataclass(frozen=True)
class Report:
    """Outcome of a run.

    score: of the last step, None without labels.
    error: None if it succeeded.
    is_kept: the result already existed.
    """

    run: Run
    task: str
    score: float | None = None
    error: str | None = None
    is_kept: bool = False

    @property
    def state(self) -> str:
        """The outcome as text: a word, or the score."""
        if self.error or self.is_kept:
            return "failed" if self.error else "kept"
        return "done" if self.score is None else f"{100 * self.score:.1f} %"


@lru_cache(maxsize=2)
def task_of(task: str | OwnTask, place: DataPlace) -> Task:
    """Returns the task of a run, cached in each process."""
    if isinstance(task, str):
        return load_task(task, place)
    return load_own(task.source, task.target, task.target_test, task.size, task.network)


def do_run(run: Run, plan: Plan, place: DataPlace, folder: Path, redo_stale: bool = False) -> Report:
    """Does one run and writes its result, unless there is one; with `redo_stale`, unless there is a current one."""
    name = run.task if isinstance(run.task, str) else run.task.name
    torch.set_num_threads(1)
    # collapse warnings would break the progress bar; the scores of the report show a collapse too
    warnings.filterwarnings("ignore", message=r".*see docs/robustness\.md")
    commit()  # cached now, because a commit made during training is not the code that runs
    try:
        data = None if isinstance(run.task, str) else run.task.data()
        method = get_method(run.method)
        if is_done(folder, name, method, run.seed, plan, data, redo_stale):
            return Report(run, name, is_kept=True)
        task = task_of(run.task, place)
        checkpoint = checkpoint_of(folder, name, method, run.seed, plan, data)
        outcome = train(task, method, run.seed, plan, checkpoint=checkpoint)
        result = make_result(task, method, run.seed, plan, outcome, data)
        write_result(folder, result, outcome.embedding if run.keeps_embedding else None)
        checkpoint.remove()
        return Report(run, name, result[task.metric]["last"])
    except DataError as error:
        return Report(run, name, error=str(error))
    except Exception as error:
        return Report(run, name, error=f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


def do_all(
    runs: list[Run],
    plan: Plan,
    place: DataPlace,
    folder: Path,
    jobs: int | None = None,
    cluster: Cluster | None = None,
    redo_stale: bool = False,
) -> list[Report]:
    """Does the runs, `jobs` at a time (None: one per core or worker), with a progress bar; returns their reports."""
    with cluster.joined() if cluster else parallel_config(backend="loky", initializer=leave_interrupts_to_parent):
        jobs = min(jobs or effective_n_jobs(-1), len(runs))
        reports: Iterable[Report]
        if jobs == 1 and not cluster:
            reports = (do_run(run, plan, place, folder, redo_stale) for run in runs)
        else:
            work = (delayed(do_run)(run, plan, place, folder, redo_stale) for run in runs)
            reports = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(work)
        return list(with_progress(reports, runs, jobs))


def leave_interrupts_to_parent() -> None:
    """Ignores Ctrl-C, which a terminal sends to all processes, so that the parent process ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def with_progress(reports: Iterable[Report], runs: list[Run], jobs: int) -> Iterator[Report]:
    """Yields the reports under a progress bar with the methods and seeds in training and the time left.

    Every finished run prints a line above the bar.
    """
    form, left = "{desc} |{bar}| {n}/{total} runs, {elapsed} gone, {remaining} left", list(runs)
    with tqdm(total=len(runs), bar_format=form, desc=in_training(left, jobs)) as bar:
        for report in reports:
            bar.write(f"{report.task} {report.run.method} seed {report.run.seed}: {report.state}", file=sys.stderr)
            left.remove(report.run)
            bar.set_description_str(in_training(left, jobs), refresh=False)
            bar.update()
            yield report


def in_training(left: list[Run], jobs: int) -> str:
    """Returns a text with the first two runs in training and the number of others; runs start in order of the list."""
    names = [f"{run.method} seed {run.seed}" for run in left[: min(jobs, 2)]]
    others = min(jobs, len(left)) - len(names)
    return ", ".join([*names, *([f"{others} more"] if others > 0 else [])]) or "done"
