"""A report on a folder of results: `report.md` and its pictures."""

import json
from pathlib import Path
from urllib.parse import quote

from .figures import pictures
from .overview import overview
from .pairs import pair_picture, pair_rows
from .results import Result, as_text, by_task_and_method, read_results, table

HEAD = """# Results

Mean ± standard deviation over seeds, in %. `accuracy` and `balanced_accuracy` are those of the last step, on the part
of the target that is kept for scoring; `selected` is the headline score at the step that a label-free validator
({selector}) picks, `oracle` the best on the curve, picked with target labels. `step / DANN's` is the time of a method's
training step as a ratio to DANN's in the same folder (lower decile over steps, median over seeds).
"""

OVERVIEW = """## All tasks

Mean of the headline scores over tasks; rank among the methods below; on how many tasks a method is best of them; its
worst difference to source-only training; how far dmsrl is above it, with the two-sided p of a Wilcoxon signed-rank test
over the pairs of task and seed, as if the seeds of a task told of different things, and over the tasks' mean
differences, which is the safer one.
"""

PAIRS = """## With and without our hooks

Each method alone, and with every part of our default recipe that it takes, put in by `attach_dmsrl`: means over tasks
of the headline scores, their difference in points with the two-sided p of Wilcoxon signed-rank tests over the pairs of
task and seed and over the tasks, and the difference on each task.
"""


# settings that are not a method's own
SHARED = ("data", "network", "batch_size", "scorings")


def write_report(folder: Path) -> Path:
    """Writes `report.md` and its pictures into a folder of results. Raises `ValueError` where it holds none."""
    results = read_results(folder)
    if not results:
        raise ValueError(f"{folder} holds no results; `python -m benchmarks run --out {folder}` makes some")
    drawn = pictures(results, folder, folder / "figures")
    sections = [HEAD.format(selector=results[0]["selector"])]
    if rows := overview(results):
        sections.append(f"{OVERVIEW}\n{as_text(rows, is_markdown=True)}\n")
    if rows := pair_rows(results):
        path = pair_picture(results, folder / "figures" / "with-and-without.png")
        sections.append(f"{PAIRS}\n{as_text(rows, is_markdown=True)}\n")
        sections.append(f"![With and without our hooks]({quote(path.relative_to(folder).as_posix())})\n")
    for task, methods in by_task_and_method(results).items():
        sections.append(f"## {task}\n\n{notes(methods)}\n\n{as_text(table(methods), is_markdown=True)}\n")
        for caption, path in drawn.get(task, []):
            sections.append(f"![{caption}]({quote(path.relative_to(folder).as_posix())})\n")
    path = folder / "report.md"
    path.write_text("\n".join(sections))
    return path


def notes(methods: dict[str, list[Result]]) -> str:
    """Gives what the table's numbers were made with, and a warning where that differs between them."""
    runs = [run for of_method in methods.values() for run in of_method]
    titles = {"steps": "Steps", "score_on": "Scored on", "commit": "Commit"}
    values = {title: sorted({str(run[key]) for run in runs}) for key, title in titles.items()}
    told = [f"{title}: {', '.join(value)}." for title, value in values.items()]
    differs = [title.lower() for title in ("Steps", "Scored on") if len(values[title]) > 1]
    differs += [key.replace("_", " ") for key in differing_settings(runs) if key in SHARED]
    for name, of_method in methods.items():
        differs += [f"{key} of {name}" for key in differing_settings(of_method) if key not in SHARED]
    warning = [f"**These runs differ in {' and '.join(differs)}: do not compare them.**"] if differs else []
    return " ".join([*told, *warning])


def differing_settings(runs: list[Result]) -> list[str]:
    """Gives the keys of the settings that are not the same in all runs; those of methods differ between methods."""
    keys = dict.fromkeys(key for run in runs for key in run["settings"])
    return [key for key in keys if len({json.dumps(run["settings"].get(key), sort_keys=True) for run in runs}) > 1]
