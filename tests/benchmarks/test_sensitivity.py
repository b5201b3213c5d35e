"""The default recipe with its numbers halved and doubled."""

import json
from dataclasses import asdict

import pytest

from benchmarks.cli import main
from benchmarks.methods import get_method
from benchmarks.sensitivity import changes, methods, moves, rows
from dmsrl_adapt.recipe import DEFAULT

TASKS = {"a": 0.5, "b": 0.7}


def result(task, method, seed, score):
    return {"task": task, "method": method, "seed": seed, "metric": "accuracy", "accuracy": {"last": score}}


@pytest.fixture
def results():
    """The default at 50 and 70 %; each change 1 point above on task a, on b 3 below, margin_scale x 2 on b 9 below."""
    runs = []
    for task, score in TASKS.items():
        for seed in (0, 1):
            runs.append(result(task, "dmsrl", seed, score + 0.1 * seed))
            for (key, factor), name in changes().items():
                moved = 0.01 if task == "a" else -0.09 if (key, factor) == ("margin_scale", 2.0) else -0.03
                runs.append(result(task, name, seed, score + 0.1 * seed + moved))
    return runs


def test_every_number_of_the_recipe_is_halved_and_doubled_alone():
    usual = get_method("dmsrl").settings
    numbers = {key for key, value in asdict(DEFAULT).items() if isinstance(value, float)}
    assert {key for key, _ in changes()} == numbers >= {"mi_weight", "margin_size", "label_threshold", "view_weight"}
    for (key, factor), name in changes().items():
        changed = get_method(name).settings
        assert changed == {**usual, key: pytest.approx(usual[key] * factor)}
    assert methods() == ["dmsrl", *changes().values()]


def test_moves_are_means_over_seeds_of_differences_by_task(results):
    moved = moves(results)
    assert moved["mi_weight", 0.5] == pytest.approx([1, -3])
    assert moved["margin_scale", 2.0] == pytest.approx([1, -9])


def test_seeds_that_only_one_has_do_not_count(results):
    results.append(result("a", "dmsrl", 7, 1.0))
    assert moves(results)["mi_weight", 0.5] == pytest.approx([1, -3])


def test_a_change_that_was_not_run_is_named(results):
    left = [run for run in results if (run["task"], run["method"]) != ("b", "dmsrl[mi_weight=0.6]")]
    with pytest.raises(ValueError, match=r"dmsrl\[mi_weight=0.6\] and dmsrl have no seed in common on b"):
        moves(left)


def test_table_tells_mean_and_most(results):
    table = {row[0]: row[1:] for row in rows(moves(results))}
    assert table["setting"] == ["default", "x 0.5, mean", "x 0.5, most", "x 2, mean", "x 2, most"]
    assert table["margin_scale"] == ["8", "-1.0", "-3.0", "-4.0", "-9.0"]


def test_command_draws_and_prints(results, tmp_path, capsys):
    for run in results:
        (tmp_path / f"{run['task']}__{run['method']}__seed{run['seed']}.json").write_text(json.dumps(run))
    assert main(["sensitivity", str(tmp_path)]) == 0
    assert "margin_scale" in capsys.readouterr().out
    assert (tmp_path / "figures" / "sensitivity.png").stat().st_size > 10_000


def test_command_says_what_is_missing(tmp_path, capsys):
    assert main(["sensitivity", str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err
