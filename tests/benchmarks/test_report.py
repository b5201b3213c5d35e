"""The report: what it says, and that a browser shows it without an error or a missing picture."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.comparison import MARK, Ranking, against, gap_closed, is_negative_transfer, ranking
from benchmarks.provenance import STALE
from benchmarks.report import write_report
from benchmarks.results import write_result
from dmsrl_adapt.trainer.validators import VALIDATORS

from .fake_results import fake_result, write_fakes

SCHEMA = Path(__file__).parents[2] / "benchmarks" / "result.schema.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("report")
    write_fakes(where)
    write_report(where)
    return where


def runs(*scores: float, method: str = "mcc") -> list[dict]:
    return [fake_result("digits", method, seed, score) for seed, score in enumerate(scores)]


def test_negative_transfer_is_more_than_one_standard_error_below_the_floor() -> None:
    floor = runs(0.50, 0.52, 0.54)
    assert against(runs(0.48, 0.50, 0.49), floor) == pytest.approx((-3.0, 1.0))
    assert is_negative_transfer(runs(0.48, 0.50, 0.49), floor)
    assert not is_negative_transfer(runs(0.40, 0.60, 0.53), floor)  # below, but by less than its error
    assert not is_negative_transfer(runs(0.60, 0.60, 0.60), floor)
    assert not is_negative_transfer(runs(0.1), floor[:1])  # one seed tells no error
    assert against(runs(0.5), []) is None


def test_the_gap_closed_is_a_fraction_of_the_gap_to_the_ceiling() -> None:
    methods = {"source_only": runs(0.5), "target_supervised": runs(0.9)}
    assert gap_closed(runs(0.8), methods) == pytest.approx(0.75)
    assert gap_closed(runs(0.4), methods) == pytest.approx(-0.25)
    assert gap_closed(runs(0.8), {"source_only": runs(0.5)}) is None
    assert gap_closed(runs(0.8), {"source_only": runs(0.9), "target_supervised": runs(0.9)}) is None


def test_the_critical_difference_is_that_of_the_published_table() -> None:
    """q for 5 % is 1.960, 2.343, 2.728 and 3.164 for 2, 3, 5 and 10 methods (Demsar, JMLR 2006, table 5)."""
    for count, quantile in ((2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)):
        tasks = {f"{task}": {f"m{k}": runs(0.01 * k + 0.001 * task * k) for k in range(count)} for task in range(6)}
        found = ranking(tasks)
        assert found.critical == pytest.approx(quantile * np.sqrt(count * (count + 1) / (6 * 6)), abs=2e-3)
        assert found.ranks == {f"m{k}": count - k for k in range(count)}
        assert found.p is None if count == 2 else found.p < 0.01


def test_groups_are_the_largest_sets_that_do_not_differ() -> None:
    ranks = {"a": 1.0, "b": 2.0, "c": 2.5, "d": 4.0}
    assert Ranking(ranks, 1.5, None, 6).groups == [["a", "b", "c"], ["c", "d"]]
    assert Ranking(ranks, 0.4, None, 6).groups == []
    assert Ranking(ranks, 9.0, None, 6).groups == [["a", "b", "c", "d"]]


def test_methods_that_lack_a_task_and_the_ceiling_have_no_rank() -> None:
    both = {"mcc": runs(0.6), "dann": runs(0.5), "target_supervised": runs(0.9)}
    assert set(ranking({"one": {**both, "mcd": runs(0.7)}, "two": both}).ranks) == {"mcc", "dann"}
    assert ranking({"one": both}) is None


def test_the_page_holds_all_it_shows_and_the_markdown_tells_the_same(folder: Path) -> None:
    page, markdown = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page)
    pictures = re.findall(r"!\[([^]]*)\]\(([^)]*)\)", markdown)
    assert [caption for caption, _ in pictures] == [
        "Critical-difference diagram",
        "Speed against accuracy",
        "Ablation of the default recipe",
        "Last-step score",
        "Learning curves",
        "Quality of the pseudo labels",
        "Confusion matrices of source_only, mcc, dmsrl",
        "Features before and after adaptation",
        "The same features by domain",
        "Last-step score",
        "Learning curves",
        "Quality of the pseudo labels",
        "Confusion matrices of source_only, mcc, dmsrl",
    ]
    assert all((folder / path.replace("%20", " ")).stat().st_size > 5000 for _, path in pictures)
    assert page.count("<img ") == len(pictures)
    # dann, below the floor with both seeds, is marked in the tables that tell of it
    text = re.sub(" +", " ", markdown)
    assert f"| dann | 46.5 | -12 % | 2 of 2 {MARK} | 46.0 ± 1.4 {MARK} | 47.0 ± 1.4 {MARK} |" in text
    assert text.count(f"| dann | -5.0 ± 0.0 {MARK} | -12 % | 46.0 ± 1.4 |") == 1
    assert "| dmsrl | 76.5 | 62 % | 0 of 2 | **76.0 ± 1.4** | **77.0 ± 1.4** |" in text
    assert "| dmsrl | +25.0 ± 0.0 | 62 % | 76.0 ± 1.4 | 76.0 ± 1.4 | 76.0 ± 1.4 | 76.0 ± 1.4 | 500 |" in text
    assert "| target_supervised | 91.5 | - | 0 of 2 | 91.0 ± 1.4 | 92.0 ± 1.4 |" in text


def test_several_folders_make_the_report_of_one_that_holds_all(folder: Path, tmp_path: Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    for path in (path for pattern in ("*.json", "*.npz") for path in folder.glob(pattern)):
        where = ours if path.name.split("__")[1] in ("source_only", "dmsrl") else others
        where.mkdir(exist_ok=True)
        shutil.copy(path, where)
    assert main(["report", str(others), str(ours), "--out", str(tmp_path / "new" / "all")]) == 0
    assert sorted(path.name for path in (tmp_path / "new" / "all").iterdir()) == ["figures", "report.html", "report.md"]
    text = (tmp_path / "new" / "all" / "report.md").read_text()
    line = f"All runs in `{others.as_posix()}`, `{ours.as_posix()}`.\n\n"
    assert text.count(line) == 1 and text.replace(line, "") == (folder / "report.md").read_text()


def test_methods_that_a_folder_lacks_are_named_and_in_no_mean(tmp_path: Path) -> None:
    for task, methods in (("digits", ("mcc", "dmsrl", "mcd")), ("faces", ("mcc", "dmsrl"))):
        for method in methods:
            write_result(tmp_path / task, fake_result(task, method, 0, 0.5))
    text = write_report(tmp_path / "digits", tmp_path / "faces", out=tmp_path).read_text()
    assert "Not run on every task, so left out of means and ranks: `mcd` (not on faces)." in text
    assert [line.split("|")[1].strip() for line in text.split("\n\n")[6].splitlines()[2:]] == ["dmsrl", "mcc"]


@pytest.mark.parametrize(
    ("folders", "out", "told"),
    [
        (("a", "b"), None, "--out"),
        (("a", "b"), "all", "a/digits__mcc__seed0.json and {}/b/digits__mcc__seed0.json are of the same"),
        (("a", "empty"), "all", "empty holds no results"),
        (("empty",), None, "empty holds no results"),
    ],
)
def test_folders_that_make_no_report_are_refused(folders, out, told, tmp_path: Path, capsys) -> None:
    for name in ("a", "b"):
        write_result(tmp_path / name, fake_result("digits", "mcc", 0, 0.5))
    (tmp_path / "empty").mkdir()
    more = ["--out", str(tmp_path / out)] if out else []
    assert main(["report", *(str(tmp_path / name) for name in folders), *more]) == 2
    assert told.format(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / "all").exists()


def test_a_target_without_labels_is_told_of_and_counts_for_nothing(tmp_path: Path) -> None:
    write_fakes(tmp_path, ("digits",))
    blind = {"last": None, "selected": None, "oracle": None}
    none = {name: {"accuracy": None, "balanced_accuracy": None} for name in VALIDATORS}
    more = {"accuracy": blind, "balanced_accuracy": blind, "selected_by": none, "confusion": None}
    write_result(tmp_path, fake_result("field", "dmsrl", 0, 0.5, **more, per_class_accuracy=None))
    text = re.sub(" +", " ", write_report(tmp_path).read_text())
    assert "| dmsrl | - | - | - | - | - | 1 |" in text and "negative on" not in text
    assert "Critical-difference" not in text and "Speed against accuracy" in text


def test_results_of_before_are_reported_too(tmp_path: Path) -> None:
    """They lack the fields that came later."""
    for method in ("source_only", "dmsrl"):
        old = fake_result("digits", method, 0, 0.6)
        for key in ("selected_by", "peak_memory"):
            del old[key]
        for point in old["curve"]:
            point.pop("validators")
            point.pop("pseudo_labels", None)
        (tmp_path / f"digits__{method}__seed0.json").write_text(json.dumps(old))
    markdown = write_report(tmp_path).read_text()
    assert "pseudo labels" not in markdown
    text = re.sub(" +", " ", markdown)
    assert "| dmsrl | 60.0 | 60.0 | 60.0 | 60.0 | - | 1 |" in text
    assert "| dmsrl | +0.0 | - | - | - | - | - | - |" in text


def test_new_results_have_the_form_that_the_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    check.validate(fake_result("digits", "dmsrl", 0, 0.5))
    for broken in ({"accuracy": {"last": 90}}, {"seed": "0"}, {"curve": []}, {"colour": "red"}, {"metric": "f1"}):
        assert not check.is_valid({**fake_result("digits", "dmsrl", 0, 0.5), **broken}), broken


def test_stale_results_are_marked_in_every_table(tmp_path: Path) -> None:
    """MCC has one run of another commit on the first task, and source-only training one of other versions."""
    write_fakes(tmp_path)
    fresh = re.sub(" +", " ", write_report(tmp_path).read_text())
    assert STALE not in fresh
    for method, changed in (("mcc", {"commit": "0123456789ab"}), ("source_only", {"versions": {"python": "2.7"}})):
        write_result(tmp_path, fake_result("digits", method, 1, 0.5, **changed))
    text = re.sub(" +", " ", write_report(tmp_path).read_text())
    assert f"{STALE} marks methods with runs of another commit or of other package versions" in text
    both, first, second = text.partition("## All tasks")[2].split("\n## ")
    for name, marked in (("mcc", f"mcc {STALE}"), ("source_only", f"source_only {STALE}")):
        assert both.count(f"| {marked} |") == first.count(f"| {marked} |") == 2
        assert second.count(f"| {name} |") == 2 and marked not in second
    assert f"| dmsrl {STALE}" not in text
    assert f"{MARK}" in text  # the other mark is another


def test_numbers_of_the_recipe_that_were_changed_have_a_chapter(tmp_path: Path) -> None:
    settings = {"network": "small", "batch_size": 16, "scorings": 3, "mi.weight": 0.3}
    for method, score in (("dmsrl", 0.5), ("dmsrl[mi.weight=0.6]", 0.52), ("dmsrl[mi.weight=0.15]", 0.49)):
        write_result(tmp_path, fake_result("digits", method, 0, score, settings=settings))
    text = re.sub(" +", " ", write_report(tmp_path).read_text())
    assert "## Sensitivity" in text and "| mi.weight | 0.3 | -1.0 | -1.0 | +2.0 | +2.0 |" in text
    assert (tmp_path / "figures" / "sensitivity.png").stat().st_size > 5000


def test_a_browser_shows_the_page_without_an_error_and_sorts_its_tables(folder: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    problems: list[str] = []
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser, args=["--no-sandbox"], timeout=180_000)
        page = opened.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(180_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.goto((folder / "report.html").as_uri())
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 100)")
        assert page.evaluate("document.images.length") == 13
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366  # nothing sticks out to the right
        first = page.locator("table").first

        def column(number: int) -> list[str]:
            return first.locator(f"tbody tr td:nth-child({number})").all_inner_texts()

        means = [float(text) for text in column(2)]
        head = first.locator("th button", has_text="mean").first
        head.click()
        assert [float(text) for text in column(2)] == sorted(means, reverse=True)
        head.click()
        assert [float(text) for text in column(2)] == sorted(means)
        first.locator("th button", has_text="mean rank").click()
        assert column(3)[-1] == "-"  # the ceiling has no rank
        first.locator("th button", has_text="method").click()
        assert column(1) == sorted(column(1))
        opened.close()
    assert problems == []
