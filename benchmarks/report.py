"""The report on folders of results: `report.html`, a self-contained page, `report.md`, and the figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from dmsrl_adapt.trainer.page import Chapter, Rows, write_page
from dmsrl_adapt.trainer.validators import VALIDATORS

from .comparison import CEILING, FLOOR, MARK, against, gap_closed, is_negative_transfer, scored
from .figures import pictures
from .figures_overall import overall_pictures
from .overview import left_out, overview
from .pairs import pair_picture, pair_rows
from .provenance import STALE, marked
from .published import published
from .results import Result
from .runs import read_sources
from .sensitivity import sensitivity_picture, sensitivity_rows
from .tables import as_text, by_score, by_task_and_method, headline, label, percent, task_rows

HEAD = """Mean ± standard deviation over seeds, in %. `accuracy` and `balanced_accuracy` are measured after the last
training step, on the part of the target that is held out for scoring. `selected` is the headline score at the step
chosen by a label-free validator ({selector}). `oracle` is the best headline score during training, chosen with target
labels. `step / DANN's` is the time of a training step divided by that of DANN on the same task (lower decile over
steps, median over seeds)."""

OVERVIEW = """`mean` is the mean headline score over tasks, and `mean rank` the mean rank among the methods of the
table. `best on` counts the tasks on which a method has the best mean. `best or tied` also counts the tasks on which it
is below the best by at most one standard error of the difference over seeds. `dmsrl minus it` is the mean difference
between dmsrl and the method, with two-sided p-values of Wilcoxon signed-rank tests. The first test takes every pair of
task and seed as an independent sample, which seeds of one task are not. The second takes the mean difference of each
task, and is the more conservative one."""

SCORES = f"""Headline score after the last step on each task. The best method except {CEILING} is bold. {MARK} marks
negative transfer: the method is below {FLOOR} by more than one standard error over seeds. `gap closed` is the fraction
of the gap between {FLOOR} and {CEILING} that the method closes, averaged over tasks. `negative on` counts the tasks
with negative transfer."""

DETAILS = f"""Mean difference to {FLOOR} ± its standard error over seeds, where {MARK} marks negative transfer; fraction
of the gap between {FLOOR} and {CEILING} that is closed; headline score at the step chosen by each label-free validator;
peak memory of a run in MiB. The memory includes libraries on a CPU, and only tensors on a GPU."""

PUBLISHED = """Published results of other authors beside ours. They were obtained under other protocols and are not
comparable with ours; they show the range of published scores."""

PAIRS = """Each method alone, and with every compatible part of our default recipe added by `attach_dmsrl`. The table
has the mean headline scores over tasks, their difference in points, the two-sided p-values of Wilcoxon signed-rank
tests over pairs of task and seed and over tasks, and the difference on each task."""

SENSITIVITY = """The default recipe with each number halved and doubled, one at a time. The table has the change of the
mean score over tasks in points, and the largest change on a single task."""

OUTDATED = f"""{STALE} marks methods with runs of another commit or of other package versions than the current ones.
`python -m benchmarks run --redo-stale` repeats these runs."""

# settings that all methods have in common
SHARED = ("data", "network", "batch_size", "scorings")


def write_report(*sources: Path, out: Path | None = None, studies: Sequence[str] = ()) -> Path:
    """Writes `report.html`, `report.md` and the figures of all runs in folders and tables of results; returns the path
    of `report.md`.

    out: the folder to write into; defaults to the folder of results if there is only one.
    studies: the studies of a table to report on; defaults to all.

    Raises `ValueError` if a source has no results, two sources have the same run, or the output folder is not clear.
    """
    if out is None and (len(sources) > 1 or sources[0].suffix == ".csv"):
        raise ValueError("a report on a table or on several folders needs an output folder: --out DIR")
    out = out or sources[0]
    parts = chapters(marked(read_sources(sources, studies)), sources, out)
    write_page(out / "report.html", f"Results: {out.resolve().name}", parts, MARK)
    path = out / "report.md"
    path.write_text(as_markdown(parts, out), encoding="utf-8")
    return path


def chapters(results: list[Result], sources: Sequence[Path], out: Path) -> list[Chapter]:
    """Returns the sections: general notes, results over all tasks, and one for each task. Draws figures into `out`."""
    tasks, figures = by_task_and_method(results), out / "figures"
    drawn = pictures(results, figures)
    first = Chapter("Results", [HEAD.format(selector=results[0]["selector"])])
    if len(sources) > 1:
        first.texts.append(f"All runs in {', '.join(f'`{source.as_posix()}`' for source in sources)}.")
    if any(run["is_stale"] for run in results):
        first.texts.append(OUTDATED)
    parts = [first, *over_tasks(results, figures)]
    for task, methods in tasks.items():
        tables = [("", task_rows(methods)), (DETAILS, details(methods))]
        parts.append(Chapter(task, [notes(methods)], tables, drawn.get(task, [])))
    beside = [(one.text, one.rows(tasks)) for one in published() if set(one.tasks) & set(tasks)]
    return [*parts, Chapter("Published results", [PUBLISHED], beside)] if beside else parts


def over_tasks(results: list[Result], figures: Path) -> list[Chapter]:
    """Returns the sections over all tasks, leaving out those without enough results."""
    tasks = by_task_and_method(results)
    name = "All tasks" if len(tasks) > 1 else "Overview"
    together = Chapter(name, pictures=overall_pictures(results, figures))
    if rows := overview(results):
        together.texts = [OVERVIEW]
        together.tables = [("", rows)]
    if len(with_labels := scored(tasks)) > 1:
        together.texts += [text] if (text := left_out(results)) else []
        together.tables.append((SCORES, score_matrix(with_labels)))
    parts = [together] if together.tables or together.pictures else []
    if rows := pair_rows(results):
        drawn_pairs = [("With and without our hooks", pair_picture(results, figures / "with-and-without.png"))]
        parts.append(Chapter("With and without our hooks", [PAIRS], [("", rows)], drawn_pairs))
    if rows := sensitivity_rows(results):
        drawn_moves = [("Each number halved and doubled", sensitivity_picture(results, figures / "sensitivity.png"))]
        parts.append(Chapter("Sensitivity", [SENSITIVITY], [("", rows)], drawn_moves))
    return parts


def details(methods: Mapping[str, list[Result]]) -> Rows:
    """Returns the second table of a task, in the same order as the first; "-" for missing values."""
    metric, floor = next(iter(methods.values()))[0]["metric"], methods.get(FLOOR, [])
    rows = [["method", f"against {FLOOR}", "gap closed", *(f"by {name}" for name in VALIDATORS), "MiB"]]
    for name in by_score(methods):
        runs = methods[name]
        by = [[run.get("selected_by", {}).get(one, {metric: None})[metric] for run in runs] for one in VALIDATORS]
        picked = [percent([{metric: {"last": score}} for score in scores], metric) for scores in by]
        memory = [run["peak_memory"] for run in runs if run.get("peak_memory") is not None]
        gap = gap_cell(gap_closed(runs, methods))
        mib = f"{np.median(memory):.0f}" if memory else "-"
        rows.append([label(name, runs), floor_cell(name, runs, floor), gap, *picked, mib])
    return rows


def gap_cell(value: float | None) -> str:
    """Returns the fraction of the gap closed as text, in per cent; "-" for None."""
    return "-" if value is None else f"{100 * value:.0f} %"


def floor_cell(name: str, runs: list[Result], floor: list[Result]) -> str:
    """Returns the cell with the difference to source-only training."""
    found = None if name == FLOOR else against(runs, floor)
    if found is None:
        return "-"
    error = "" if np.isnan(found[1]) else f" ± {found[1]:.1f}"
    return f"{found[0]:+.1f}{error}" + f" {MARK}" * is_negative_transfer(runs, floor)


def score_matrix(tasks: Mapping[str, Mapping[str, list[Result]]]) -> Rows:
    """Returns one row per method and one column per task, best mean first; incomplete methods come last."""
    names = list(dict.fromkeys(name for methods in tasks.values() for name in methods))
    scores = {name: {task: headline(of[name]) for task, of in tasks.items() if name in of} for name in names}
    best = {task: max((scores[name][task] for name in of if name != CEILING), default=0) for task, of in tasks.items()}
    rows = [["method", "mean", "gap closed", "negative on", *tasks]]
    for name in sorted(names, key=lambda name: (len(scores[name]) < len(tasks), -np.mean(list(scores[name].values())))):
        cells, closed, negative = [], [], 0
        for task, methods in tasks.items():
            runs = methods.get(name, [])
            cell = percent(runs, runs[0]["metric"]) if runs else "-"
            cell = f"**{cell}**" if runs and name != CEILING and scores[name][task] == best[task] else cell
            is_negative = name != FLOOR and is_negative_transfer(runs, methods.get(FLOOR, []))
            negative += is_negative
            closed.append(gap_closed(runs, methods))
            cells.append(cell + f" {MARK}" * is_negative)
        is_whole = len(scores[name]) == len(tasks)
        mean = f"{np.mean(list(scores[name].values())):.1f}" if is_whole else "-"
        gaps = [gap for gap in closed if gap is not None and name not in (FLOOR, CEILING)]
        gap = gap_cell(float(np.mean(gaps))) if is_whole and len(gaps) == len(tasks) else "-"
        on = "-" if name == FLOOR else f"{negative} of {len(scores[name])}" + f" {MARK}" * (negative > 0)
        every = (run for methods in tasks.values() for run in methods.get(name, []))
        rows.append([label(name, every), mean, gap, on, *cells])
    return rows


def as_markdown(parts: list[Chapter], out: Path) -> str:
    """Returns the report as markdown, with links to the figures in `out`."""
    lines = []
    for number, part in enumerate(parts):
        lines += ["#" * min(number + 1, 2) + f" {part.title}\n", *(f"{text}\n" for text in part.texts)]
        for text, rows in part.tables:
            lines += [f"{text}\n"] * bool(text) + [f"{as_text(rows, is_markdown=True)}\n"]
        for caption, path in part.pictures:
            lines.append(f"![{caption}]({quote(path.relative_to(out).as_posix())})\n")
    return "\n".join(lines)


def notes(methods: Mapping[str, list[Result]]) -> str:
    """Returns the conditions of a task's runs as text, with a warning if they differ between runs."""
    runs = [run for of_method in methods.values() for run in of_method]
    titles = {"steps": "Steps", "score_on": "Scored on", "commit": "Commit"}
    values = {title: sorted({str(run[key]) for run in runs}) for key, title in titles.items()}
    conditions = [f"{title}: {', '.join(value)}." for title, value in values.items()]
    differs = [title.lower() for title in ("Steps", "Scored on") if len(values[title]) > 1]
    differs += [key.replace("_", " ") for key in differing_settings(runs) if key in SHARED]
    for name, of_method in methods.items():
        differs += [f"{key} of {name}" for key in differing_settings(of_method) if key not in SHARED]
    warning = [f"**These runs differ in {' and '.join(differs)}: do not compare them.**"] if differs else []
    outdated = [OUTDATED.replace("\n", " ")] if any(run.get("is_stale") for run in runs) else []
    return " ".join([*conditions, *outdated, *warning])


def differing_settings(runs: list[Result]) -> list[str]:
    """Returns the keys of settings whose values differ between runs."""
    keys = dict.fromkeys(key for run in runs for key in run["settings"])
    return [key for key in keys if len({json.dumps(run["settings"].get(key), sort_keys=True) for run in runs}) > 1]
