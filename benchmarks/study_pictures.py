"""The pictures of studies that README and docs show, in `pictures` beside the table of runs."""

from collections.abc import Callable
from pathlib import Path

from .ablation import ablation_picture
from .figures import classes_of, embeddings, placed_panels
from .pairs import pair_picture
from .results import Result
from .runs import TABLE, read_runs
from .sensitivity import sensitivity_picture
from .studies import Study
from .tables import by_task_and_method


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
