"""The table of runs, `runs.csv`: one row per run of each study; `runs.schema.json` describes its columns."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .details import details_name, read_details, write_details
from .results import Result, key_of, read_results, result_files

SCHEMA = json.loads(Path(__file__).with_name("runs.schema.json").read_text())
COLUMNS: dict[str, dict[str, Any]] = SCHEMA["properties"]
METRICS, MOMENTS = ("accuracy", "balanced_accuracy"), ("last", "selected", "oracle")
POINTS = {f"{metric}_{moment}": (metric, moment) for metric in METRICS for moment in MOMENTS}
TABLE = Path(__file__).with_name("results") / "runs.csv"  # the one that README and docs quote
Row = dict[str, Any]


def row_of(study: str, result: Result) -> Row:
    """Returns the row of a result, as values by column."""
    row = {key: result.get(key) for key in COLUMNS}
    row |= {name: result[metric][moment] for name, (metric, moment) in POINTS.items()}
    row |= {key: packed(result[key]) for key in ("settings", "versions")}
    return {**row, "study": study, "selector_last": result["curve"][-1]["selector"]}


def result_of(row: Row) -> Result:
    """Returns the result of a row, with only the last point of its curve."""
    result = {key: value for key, value in row.items() if key not in (*POINTS, "study", "selector_last")}
    for metric in METRICS:
        result[metric] = {moment: row[f"{metric}_{moment}"] for moment in MOMENTS}
    last = {metric: result[metric]["last"] for metric in METRICS}
    result["curve"] = [{"step": row["steps"], "selector": row["selector_last"], **last}]
    versions = dict(part.split("=", 1) for part in row["versions"].split())
    return {**result, "settings": unpacked(row["settings"]), "versions": versions}


def packed(named: Mapping[str, Any]) -> str:
    """Returns settings as text, `key=value key=value`, with values in JSON and simple words without quotes."""
    return " ".join(f"{key}={as_word(named[key])}" for key in sorted(named))


def as_word(value: Any) -> str:
    """Returns a value as JSON without blanks; strings that are not valid JSON keep no quotes."""
    if isinstance(value, str) and not set(value) & set(' "\n\t') and not is_json(value):
        return value
    return json.dumps(value, separators=(",", ":")).replace(" ", "\\u0020")


def is_json(text: str) -> bool:
    """Whether a text is valid JSON, such as `null` or `1`."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def unpacked(text: str) -> dict[str, Any]:
    """Returns the settings that `packed` wrote."""
    parts = (part.partition("=") for part in text.split())
    return {key: json.loads(value) if is_json(value) else value for key, _, value in parts}


def read_rows(table: Path, study: str | None = None) -> list[Row]:
    """Returns the rows of a table, or of one of its studies, with numbers parsed and None for empty cells; empty
    without a table.

    Raises `ValueError` if the columns are not those of the schema.
    """
    if not table.is_file():
        return []
    with table.open(newline="") as file:
        lines = csv.DictReader(file)
        if list(lines.fieldnames or []) != list(COLUMNS):
            raise ValueError(f"{table} must have the columns {', '.join(COLUMNS)}, got {lines.fieldnames}")
        lines_of = (line for line in lines if study in (None, line["study"]))
        return [{key: parsed(key, cell) for key, cell in line.items()} for line in lines_of]


def parsed(column: str, cell: str) -> int | float | str | None:
    """Returns the value of a cell."""
    kind = COLUMNS[column]["type"]
    read = {"integer": int, "number": float, "string": str}[kind if isinstance(kind, str) else kind[0]]
    value: int | float | str | None = read(cell) if cell else None
    return value


def write_rows(table: Path, rows: Iterable[Row]) -> None:
    """Writes a table atomically, sorted so that differences between versions are easy to read."""
    table.parent.mkdir(parents=True, exist_ok=True)
    unfinished = table.with_suffix(".part")
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: (row["study"], *key_of(row))))
    unfinished.replace(table)


def read_runs(table: Path, *studies: str) -> list[Result]:
    """Returns the runs of studies with their details; of all studies in the table if none is named.

    Raises `ValueError` if the table lacks a study, or two studies have the same run.
    """
    rows = read_rows(table)
    there = dict.fromkeys(row["study"] for row in rows)
    if missing := [name for name in studies if name not in there]:
        raise ValueError(f"{table} has no runs of {', '.join(missing)}; it has {', '.join(there) or 'none'}")
    results: dict[tuple[str, str, int], Result] = {}
    details = read_details(table)
    for name in studies or there:
        for row in (row for row in rows if row["study"] == name):
            if key_of(row) in results:
                raise ValueError(f"two studies of {table} hold {' '.join(map(str, key_of(row)))}; name fewer studies")
            results[key_of(row)] = {**result_of(row), **details.get(details_name(name, row), {})}
    return list(results.values())


def read_sources(sources: Iterable[Path], studies: Iterable[str] = ()) -> list[Result]:
    """Returns the results of folders and of tables (`.csv`), of these only the runs of `studies` where any are named.

    Raises `ValueError` where a source holds no results, or two hold the same run.
    """
    sources = list(sources)
    tables = [source for source in sources if source.suffix == ".csv"]
    for source in sources:
        if not (read_rows(source) if source in tables else result_files(source)):
            raise ValueError(f"{source} holds no results; `python -m benchmarks run --out {source}` makes some")
    results = read_results(*(source for source in sources if source not in tables))
    results += [result for table in tables for result in read_runs(table, *studies)]
    keys = Counter(map(key_of, results))
    if twice := [key for key, count in keys.items() if count > 1]:
        raise ValueError(f"two sources hold {' '.join(map(str, twice[0]))}; leave out one")
    return results


def collect(folders: Iterable[Path], study: str, table: Path = TABLE) -> int:
    """Puts the result files of folders into a table as runs of a study, and returns how many there were. A run of the
    same task, method and seed takes the place of the one in the table.

    Raises `ValueError` where the folders hold no results, or the same run twice.
    """
    folders = list(folders)
    results = read_results(*folders)
    if not results:
        raise ValueError(f"{', '.join(map(str, folders))} hold no results")
    fresh = {key_of(result) for result in results}
    kept = [row for row in read_rows(table) if row["study"] != study or key_of(row) not in fresh]
    write_details(table, read_details(table) | {details_name(study, result): result for result in results})
    write_rows(table, [*kept, *(row_of(study, result) for result in results)])
    return len(results)
