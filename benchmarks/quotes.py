"""What README and docs show of studies: tables between `<!-- study NAME: VIEW -->` and `<!-- end -->`, and pictures.

`VIEW` is one of `VIEWS`. `VIEW | ROW | COLUMN` is a single figure, and may stand within a line.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import endurance, labels, open_set, speed, speed_labeler
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
# of measurements: the file in `measured`, and what it holds as rows
MEASURED: dict[str, tuple[str, Callable[[dict[str, Any]], Rows]]] = {
    "endurance": ("endurance.json", endurance.rows),
    "labels": ("labels.json", labels.told),
    "open_set": ("open_set.json", open_set.told),
    "speed": ("speed-cpu.json", speed.rows),
    "speed_labeler": ("speed-labeler-cpu.json", speed_labeler.rows),
}


def reference(results: list[Result]) -> Made:
    """Returns the commit and versions that others in a table are marked against: those of most runs of our method."""
    return usual([run for run in results if run["method"] == OURS] or results)


def table_of(study: Study, view: str, table: Path = TABLE) -> tuple[Rows, str]:
    """Returns the table of a view, and a line that names the study, its size, and what made it.

    Raises `ValueError` for an unknown view, or where there is nothing to tell.
    """
    name = f"Study `{study.name}`"
    if study.commands and view in MEASURED:
        file, rows_of = MEASURED[view]
        told = json.loads(table.with_name("measured").joinpath(file).read_text())
        rows, caption = rows_of(told), f"{name}, `{file}`, commit {told['commit']}."
    elif view in VIEWS:
        results = read_runs(table, *(part.name for part in study.parts))
        seeds = sorted({run["seed"] for run in results})
        made = reference(results)
        rows = VIEWS[view](marked_unlike(results, made))
        told = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        caption = f"{name}: {len(results)} runs, {told}, {study.steps} steps, commit {made[0]}."
    else:
        raise ValueError(f"there is no view {view!r}; there are {', '.join((*VIEWS, *MEASURED))}")
    if not rows:
        raise ValueError(f"{study.name} has nothing for {view!r}")
    is_marked = any(row[0].endswith(STALE) for row in rows)
    return rows, f"{caption} {STALE} has runs of another commit or other versions." if is_marked else caption


def quoted(name: str, what: str, table: Path = TABLE) -> str:
    """Returns what stands between the marks: a table and its caption, or a single figure."""
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
    """Returns a page with what it quotes made anew, of one study or of all."""

    def anew(found: re.Match[str]) -> str:
        start, name, what, old, end = found.groups()
        return start + (quoted(name, what, table) if study in (None, name) else old) + end

    return BLOCK.sub(anew, text)


def studies_in(text: str) -> set[str]:
    """Returns the names of the studies that a page quotes."""
    return {found[2] for found in BLOCK.finditer(text)}


def fill_pages(study: str, table: Path = TABLE) -> list[Path]:
    """Makes anew what README and docs quote of a study; returns the pages that changed."""
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
    """Draws the picture that a study names, beside the table; those of measurements are drawn by their commands."""
    if study.picture is None:
        return []
    folder = table.with_name("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    path = DRAWN[study.picture](read_runs(table, *(part.name for part in study.parts)), folder / f"{study.name}.png")
    return [path] if path else []
