"""Tables of studies in README and docs. A table is put between `<!-- study NAME: VIEW -->` and `<!-- end -->`.

`VIEW` is one of `VIEWS` or `MEASURED`. `VIEW | ROW | COLUMN` is a single number, and may stand within a line.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import confidence, endurance, labels, open_set, speed, speed_labeler
from .ablation import ablation_picture, ablation_rows
from .comparison import OURS
from .figures import classes_of, embeddings, placed_panels
from .overview import overview
from .pairs import pair_picture, pair_rows
from .provenance import ROOT, STALE, Made, marked_unlike, usual
from .results import Result
from .runs import TABLE, read_runs
from .sensitivity import sensitivity_picture, sensitivity_rows
from .studies import Study, read_study
from .tables import as_text, by_task_and_method, score_rows, task_rows, trial_rows

Rows = list[list[str]]
BLOCK = re.compile(r"(<!-- study ([a-z0-9_]+): (.+?) -->)(.*?)(<!-- end -->)", flags=re.DOTALL)
PAGES = ("README.md", "benchmarks/README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))


def only_task(results: list[Result]) -> Rows:
    """Returns the table of the study's one task."""
    (methods,) = by_task_and_method(results).values()
    return task_rows(methods)


VIEWS: dict[str, Callable[[list[Result]], Rows]] = {
    "ablation": ablation_rows,
    "overview": overview,
    "pairs": pair_rows,
    "scores": score_rows,
    "sensitivity": sensitivity_rows,
    "task": only_task,
    "trials": trial_rows,
}
# measurements: the file in `measured`, and the function that returns its table
MEASURED: dict[str, tuple[str, Callable[[dict[str, Any]], Rows]]] = {
    "confidence": ("confidence.json", confidence.rows),
    "endurance": ("endurance.json", endurance.rows),
    "labels": ("labels.json", labels.table),
    "open_set": ("open_set.json", open_set.table),
    "speed": ("speed-cpu.json", speed.rows),
    "speed_labeler": ("speed-labeler-cpu.json", speed_labeler.rows),
}


def reference(results: list[Result]) -> Made:
    """Returns the commit and versions of most runs of our method; a table marks runs made by others."""
    return usual([run for run in results if run["method"] == OURS] or results)


def table_of(study: Study, view: str, table: Path = TABLE) -> tuple[Rows, str]:
    """Returns the table of a view, and a caption with the study's name, its number of runs, and the commit.

    Raises `ValueError` for an unknown view, or if the study has no results for it.
    """
    name = f"Study `{study.name}`"
    if study.commands and view in MEASURED:
        file, rows_of = MEASURED[view]
        measured = json.loads(table.with_name("measured").joinpath(file).read_text())
        rows, caption = rows_of(measured), f"{name}, `{file}`, commit {measured['commit']}."
    elif view in VIEWS:
        results = read_runs(table, *(part.name for part in study.parts))
        seeds = sorted({run["seed"] for run in results})
        made = reference(results)
        rows = VIEWS[view](marked_unlike(results, made))
        seeds_text = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        caption = f"{name}: {len(results)} runs, {seeds_text}, {study.steps} steps, commit {made[0]}."
    else:
        raise ValueError(f"there is no view {view!r}; there are {', '.join((*VIEWS, *MEASURED))}")
    if not rows:
        raise ValueError(f"{study.name} has nothing for {view!r}")
    is_marked = any(row[0].endswith(STALE) for row in rows)
    return rows, f"{caption} {STALE} has runs of another commit or other versions." if is_marked else caption


def quoted(name: str, what: str, table: Path = TABLE) -> str:
    """Returns the text between the markers: a table with its caption, or a single number."""
    view, *cell = [part.strip() for part in what.split("|")]
    rows, caption = table_of(read_study(name), view, table)
    if not cell:
        return f"\n\n{as_text(rows, is_markdown=True)}\n\n{caption}\n\n"
    found = {row[0].removesuffix(f" {STALE}"): row for row in rows}
    try:
        return found[cell[0]][rows[0].index(cell[1])]
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"{name}: {view} has no cell {' | '.join(cell)}") from error


def filled(text: str, study: str | None = None, table: Path = TABLE) -> str:
    """Returns a page with its quotes replaced by current ones, of one study or of all."""

    def replaced(found: re.Match[str]) -> str:
        start, name, what, old, end = found.groups()
        return start + (quoted(name, what, table) if study in (None, name) else old) + end

    return BLOCK.sub(replaced, text)


def studies_in(text: str) -> set[str]:
    """Returns the names of the studies that a page quotes."""
    return {found[2] for found in BLOCK.finditer(text)}


def fill_pages(study: str, table: Path = TABLE) -> list[Path]:
    """Updates the quotes of a study in README and docs; returns the pages that changed."""
    changed = []
    for page in (ROOT / name for name in PAGES):
        old = page.read_text()
        if (new := filled(old, study, table)) != old:
            page.write_text(new)
            changed.append(page)
    return changed


def features_picture(results: list[Result], path: Path) -> Path:
    """Draws the features of the study's first task before and after adaptation."""
    task, methods = next(iter(by_task_and_method(results).items()))
    return embeddings(task, placed_panels(methods), classes_of(methods), path)


DRAWN: dict[str, Callable[[list[Result], Path], Path | None]] = {
    "ablation": ablation_picture,
    "features": features_picture,
    "pairs": pair_picture,
    "sensitivity": sensitivity_picture,
}


def draw(study: Study, table: Path = TABLE) -> list[Path]:
    """Draws the figure that a study names, beside the table. Commands of measurements draw their own."""
    if study.picture is None:
        return []
    folder = table.with_name("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    path = DRAWN[study.picture](read_runs(table, *(part.name for part in study.parts)), folder / f"{study.name}.png")
    return [path] if path else []
