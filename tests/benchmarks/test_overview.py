"""The table over several tasks, on scores of which the answer is known by hand."""

import pytest

from benchmarks.overview import overview


def run(task, method, seed, score, metric="accuracy"):
    other = {"accuracy": {"last": 0.0}, "balanced_accuracy": {"last": 0.0}}
    return {"task": task, "method": method, "seed": seed, "metric": metric, **other, metric: {"last": score}}


def results(scores):
    """Scores by method and task, a number a seed."""
    return [
        run(task, method, seed, score, "balanced_accuracy" if task == "faces" else "accuracy")
        for method, of_method in scores.items()
        for task, of_task in of_method.items()
        for seed, score in enumerate(of_task)
    ]


SCORES = {
    "source_only": {"digits": [0.5, 0.5], "faces": [0.4, 0.4]},
    "mcc": {"digits": [0.6, 0.8], "faces": [0.3, 0.3]},
    "dmsrl": {"digits": [0.7, 0.9], "faces": [0.5, 0.5]},
    "target_supervised": {"digits": [1.0, 1.0], "faces": [0.9, 0.9]},
}


def test_means_ranks_and_differences_are_those_worked_out_by_hand():
    rows = {row[0]: row[1:] for row in overview(results(SCORES))}
    assert list(rows) == ["method", "target_supervised", "dmsrl", "mcc", "source_only"]
    assert rows["dmsrl"] == ["65.0", "1.0", "2 of 2", "+10.0 (faces)", "-", "-", "-"]
    assert rows["mcc"][:5] == ["50.0", "2.5", "0 of 2", "-10.0 (faces)", "+15.0"]
    assert rows["source_only"][:5] == ["45.0", "2.5", "0 of 2", "-", "+20.0"]
    assert rows["target_supervised"][:3] == ["95.0", "-", "-"]


def test_p_is_small_where_ours_always_wins_and_large_where_it_wins_half_of_the_time():
    seeds = range(12)
    scores = {
        "dmsrl": {task: [0.5 + 0.01 * seed for seed in seeds] for task in ("a", "b")},
        "worse": {task: [0.3 + 0.013 * seed for seed in seeds] for task in ("a", "b")},
        "alike": {task: [0.5 + 0.01 * seed + 0.02 * (-1) ** seed for seed in seeds] for task in ("a", "b")},
        "equal": {task: [0.5 + 0.01 * seed for seed in seeds] for task in ("a", "b")},
    }
    header, *rows = overview(results(scores))
    p = {row[0]: row[header.index("p (task x seed)")] for row in rows}
    assert p["worse"] == "< 0.001"
    assert float(p["alike"]) > 0.5
    assert float(p["equal"]) == pytest.approx(1)


def test_seeds_do_not_make_the_p_over_tasks_smaller():
    """All of 6 tasks on one side: 2 of the 2^6 equally likely patterns of signs are as one-sided."""
    tasks, seeds = [f"task {number}" for number in range(6)], range(9)
    scores = {
        "dmsrl": {task: [0.6 + 0.01 * number] * len(seeds) for number, task in enumerate(tasks)},
        "worse": {task: [0.5 + 0.002 * number + 0.001 * seed for seed in seeds] for number, task in enumerate(tasks)},
        "equal": {task: [0.6 + 0.01 * number] * len(seeds) for number, task in enumerate(tasks)},
    }
    header, *rows = overview(results(scores))
    of_seeds, of_tasks = (header.index(name) for name in ("p (task x seed)", "p (tasks)"))
    p = {row[0]: (row[of_seeds], row[of_tasks]) for row in rows}
    assert p == {"dmsrl": ("-", "-"), "worse": ("< 0.001", "0.031"), "equal": ("1.000", "1.000")}


def test_only_methods_that_were_run_on_all_tasks_are_compared():
    partly = {**SCORES, "mcd": {"digits": [0.9, 0.9]}}
    assert "mcd" not in [row[0] for row in overview(results(partly))]


def test_nothing_to_say_of_one_task_or_of_targets_without_labels():
    one = {name: {"digits": scores["digits"]} for name, scores in SCORES.items()}
    assert overview(results(one)) == []
    unlabelled = [run(task, "dmsrl", 0, None) for task in ("a", "b")]
    assert overview(unlabelled) == []
