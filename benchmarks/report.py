"""A report on folders of results: `report.html`, one page that needs no other file, `report.md`, and the pictures."""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, select_autoescape

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
from .validators import VALIDATORS

Rows = list[list[str]]

HEAD = """Mean ± standard deviation over seeds, in %. `accuracy` and `balanced_accuracy` are those of the last step, on
the part of the target that is kept for scoring; `selected` is the headline score at the step that a label-free
validator ({selector}) picks, `oracle` the best on the curve, picked with target labels. `step / DANN's` is the time of
a method's training step as a ratio to DANN's on the same task (lower decile over steps, median over seeds)."""

OVERVIEW = """Mean of the headline scores over tasks; rank among the methods below; on how many tasks a method is best
of them, and on how many it is best or not below the best by more than one standard error of their difference over
seeds; its worst difference to source-only training; how far dmsrl is above it, with the two-sided p of a Wilcoxon
signed-rank test over the pairs of task and seed, as if the seeds of a task told of different things, and over the
tasks' mean differences, which is the safer one."""

SCORES = f"""Headline score of the last step by task, the best but the ceiling bold; {MARK} marks negative transfer:
below {FLOOR} by more than one standard error over seeds. `gap closed` is the share of the way from {FLOOR} to
{CEILING}, mean over tasks; `negative on` counts the tasks of negative transfer."""

DETAILS = f"""Mean difference to {FLOOR} ± its standard error over seeds ({MARK}: negative transfer, below by more than
that); share of the way from {FLOOR} to {CEILING}; headline score at the step that each label-free validator picks; peak
memory of a run in MiB, libraries included unless on a GPU."""

PUBLISHED = "Figures of others beside ours, made by another protocol: not to be compared, only to see where others are."

PAIRS = """Each method alone, and with every part of our default recipe that it takes, put in by `attach_dmsrl`: means
over tasks of the headline scores, their difference in points with the two-sided p of Wilcoxon signed-rank tests over
the pairs of task and seed and over the tasks, and the difference on each task."""

SENSITIVITY = """The default recipe with each of its numbers halved and doubled, one at a time: by how many points the
mean over tasks moves, and the task that moves most."""

OUTDATED = f"""{STALE}: has runs of another commit or of other versions than today's. `python -m benchmarks run
--redo-stale` makes them anew."""

# settings that are not a method's own
SHARED = ("data", "network", "batch_size", "scorings")


@dataclass
class Chapter:
    """A part of the report.

    tables: what is told of each, and its rows, the first of them the head.
    pictures: caption and path of each.
    """

    title: str
    texts: list[str] = field(default_factory=list)
    tables: list[tuple[str, Rows]] = field(default_factory=list)
    pictures: list[tuple[str, Path]] = field(default_factory=list)


def write_report(*sources: Path, out: Path | None = None, studies: Sequence[str] = ()) -> Path:
    """Writes `report.html`, `report.md` and the pictures of all runs in folders and tables of results; returns the path
    of the second.

    out: the folder to write into; None for that of the results, where it is one.
    studies: of a table, all of them where none is named.

    Raises `ValueError` where a source holds no results, two hold the same run, or there is no folder to write into.
    """
    if out is None and (len(sources) > 1 or sources[0].suffix == ".csv"):
        raise ValueError("a report on a table or on several folders needs a folder of its own, --out")
    out = out or sources[0]
    parts = chapters(marked(read_sources(sources, studies)), sources, out)
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape())
    page.filters |= {
        "inlined": inlined,
        "is_wide": is_wide,
        "plain": lambda text: text.replace("`", "").replace("**", ""),
    }
    html = page.get_template("report.html").render(title=f"Results: {out.resolve().name}", chapters=parts, mark=MARK)
    (out / "report.html").write_text(html, encoding="utf-8")
    path = out / "report.md"
    path.write_text(as_markdown(parts, out), encoding="utf-8")
    return path


def chapters(results: list[Result], sources: Sequence[Path], out: Path) -> list[Chapter]:
    """Returns what the report tells: of all, of all tasks together, and of every task. Draws into a folder in `out`."""
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
    """Returns the chapters that are over tasks, as far as there is enough for each."""
    tasks = by_task_and_method(results)
    name = "All tasks" if len(tasks) > 1 else "Overview"
    together = Chapter(name, pictures=overall_pictures(results, figures))
    if rows := overview(results):
        together.texts = [OVERVIEW]
        together.tables = [("", rows)]
    if len(told := scored(tasks)) > 1:
        together.texts += [text] if (text := left_out(results)) else []
        together.tables.append((SCORES, score_matrix(told)))
    parts = [together] if together.tables or together.pictures else []
    if rows := pair_rows(results):
        drawn_pairs = [("With and without our hooks", pair_picture(results, figures / "with-and-without.png"))]
        parts.append(Chapter("With and without our hooks", [PAIRS], [("", rows)], drawn_pairs))
    if rows := sensitivity_rows(results):
        drawn_moves = [("Each number halved and doubled", sensitivity_picture(results, figures / "sensitivity.png"))]
        parts.append(Chapter("Sensitivity", [SENSITIVITY], [("", rows)], drawn_moves))
    return parts


def details(methods: Mapping[str, list[Result]]) -> Rows:
    """Returns a table beside the usual one, in the same order; "-" for what a result does not tell."""
    metric, floor = next(iter(methods.values()))[0]["metric"], methods.get(FLOOR, [])
    told = [["method", f"against {FLOOR}", "gap closed", *(f"by {name}" for name in VALIDATORS), "MiB"]]
    for name in by_score(methods):
        runs = methods[name]
        by = [[run.get("selected_by", {}).get(one, {metric: None})[metric] for run in runs] for one in VALIDATORS]
        picked = [percent([{metric: {"last": score}} for score in scores], metric) for scores in by]
        memory = [run["peak_memory"] for run in runs if run.get("peak_memory") is not None]
        gap = share(gap_closed(runs, methods))
        mib = f"{np.median(memory):.0f}" if memory else "-"
        told.append([label(name, runs), floor_cell(name, runs, floor), gap, *picked, mib])
    return told


def share(value: float | None) -> str:
    """A share in per cent."""
    return "-" if value is None else f"{100 * value:.0f} %"


def floor_cell(name: str, runs: list[Result], floor: list[Result]) -> str:
    """The difference to source-only training as a table has it."""
    found = None if name == FLOOR else against(runs, floor)
    if found is None:
        return "-"
    error = "" if np.isnan(found[1]) else f" ± {found[1]:.1f}"
    return f"{found[0]:+.1f}{error}" + f" {MARK}" * is_negative_transfer(runs, floor)


def score_matrix(tasks: Mapping[str, Mapping[str, list[Result]]]) -> Rows:
    """Returns a row a method and a column a task, best mean first; methods that lack a task come after the others."""
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
        gap = share(float(np.mean(gaps))) if is_whole and len(gaps) == len(tasks) else "-"
        on = "-" if name == FLOOR else f"{negative} of {len(scores[name])}" + f" {MARK}" * (negative > 0)
        every = (run for methods in tasks.values() for run in methods.get(name, []))
        rows.append([label(name, every), mean, gap, on, *cells])
    return rows


def as_markdown(parts: list[Chapter], out: Path) -> str:
    """Returns the report as markdown, with pictures beside it in `out`."""
    lines = []
    for number, part in enumerate(parts):
        lines += ["#" * min(number + 1, 2) + f" {part.title}\n", *(f"{text}\n" for text in part.texts)]
        for told, rows in part.tables:
            lines += [f"{told}\n"] * bool(told) + [f"{as_text(rows, is_markdown=True)}\n"]
        for caption, path in part.pictures:
            lines.append(f"![{caption}]({quote(path.relative_to(out).as_posix())})\n")
    return "\n".join(lines)


def is_wide(path: Path) -> bool:
    """Whether a picture, a PNG file, has several panels side by side and wants the width of the page."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return bool(width > 1.9 * height)


def inlined(path: Path) -> str:
    """Returns a picture as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def notes(methods: Mapping[str, list[Result]]) -> str:
    """Returns what the table's numbers were made with, and a warning where that differs between them."""
    runs = [run for of_method in methods.values() for run in of_method]
    titles = {"steps": "Steps", "score_on": "Scored on", "commit": "Commit"}
    values = {title: sorted({str(run[key]) for run in runs}) for key, title in titles.items()}
    told = [f"{title}: {', '.join(value)}." for title, value in values.items()]
    differs = [title.lower() for title in ("Steps", "Scored on") if len(values[title]) > 1]
    differs += [key.replace("_", " ") for key in differing_settings(runs) if key in SHARED]
    for name, of_method in methods.items():
        differs += [f"{key} of {name}" for key in differing_settings(of_method) if key not in SHARED]
    warning = [f"**These runs differ in {' and '.join(differs)}: do not compare them.**"] if differs else []
    outdated = [OUTDATED.replace("\n", " ")] if any(run.get("is_stale") for run in runs) else []
    return " ".join([*told, *outdated, *warning])


def differing_settings(runs: list[Result]) -> list[str]:
    """Returns the keys of the settings that are not the same in all runs; those of methods differ between methods."""
    keys = dict.fromkeys(key for run in runs for key in run["settings"])
    return [key for key in keys if len({json.dumps(run["settings"].get(key), sort_keys=True) for run in runs}) > 1]
