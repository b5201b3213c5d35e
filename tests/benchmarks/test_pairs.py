"""Methods with and without our hooks, on scores of which the answer is known by hand."""

import json

from benchmarks.pairs import pair_picture, pair_rows, paired_scores
from benchmarks.report import write_report

from .test_overview import SCORES, results

PAIRS = {
    "dann": {"digits": [0.5, 0.7], "faces": [0.4, 0.4]},
    "dann_dmsrl": {"digits": [0.8, 0.9], "faces": [0.35, 0.35]},
    # a seed and a task that the other half lacks do not count
    "mcd": {"digits": [0.5, 0.5, 0.9]},
    "mcd_dmsrl": {"digits": [0.6, 0.7], "faces": [0.9, 0.9]},
    "coral_dmsrl": {"digits": [0.9, 0.9]},
}


def test_rows_are_those_worked_out_by_hand():
    header, *rows = pair_rows(results(PAIRS))
    assert header[:4] == ["method", "alone", "with ours", "difference"]
    assert header[6:] == ["seeds", "digits", "faces"]
    rows = {row[0]: row[1:4] + row[6:] for row in rows}
    assert rows == {
        "dann": ["50.0", "60.0", "+10.0", "2", "+25.0", "-5.0"],
        "mcd": ["50.0", "65.0", "+15.0", "2", "+15.0", "-"],
    }


def test_pairs_are_of_the_same_task_and_seed():
    pairs = paired_scores(results(PAIRS))["mcd"]
    assert list(pairs) == ["digits"]
    assert [scores.tolist() for scores in pairs["digits"]] == [[50.0, 50.0], [60.0, 70.0]]


def test_nothing_to_say_without_a_pair():
    assert pair_rows(results(SCORES)) == []
    unlabelled = [{**run, run["metric"]: {"last": None}} for run in results(PAIRS)]
    assert pair_rows(unlabelled) == []


def test_report_has_table_and_picture(tmp_path):
    point = {"step": 1, "accuracy": 0.5, "balanced_accuracy": 0.5}
    rest = {"confusion": [[1, 0], [0, 1]], "classes": ["a", "b"], "curve": [point], "steps": 1, "selector": "x"}
    rest |= {"score_on": "test", "commit": None, "settings": {}, "seconds_per_step": 1.0}
    for run in results({name: {"digits": scores["digits"]} for name, scores in PAIRS.items()}):
        scores = {key: dict.fromkeys(("last", "selected", "oracle"), run[key]["last"]) for key in ("accuracy",)}
        whole = {**run, **rest, "balanced_accuracy": scores["accuracy"], **scores}
        (tmp_path / f"digits__{run['method']}__seed{run['seed']}.json").write_text(json.dumps(whole))
    text = write_report(tmp_path).read_text()
    assert "## With and without our hooks" in text
    assert "| dann " in text.partition("## With and without our hooks")[2].partition("\n## ")[0]
    assert (tmp_path / "figures" / "with-and-without.png").stat().st_size > 1000
    assert pair_picture(results(PAIRS), tmp_path / "two tasks.png").stat().st_size > 1000
