"""The built site is whole without a network: formulas, charts, tables, fonts and scripts, looked at in a browser."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .scripts import ROOT

# a command, or the start of a formula, in what a reader sees
TEX = re.compile(r"\\[a-zA-Z]+|\\[\[(]|\$\$")
ASKED = re.compile(r"""(?:<(?:script|img|iframe)[^>]* src=|<link[^>]* href=|@import |url\()["']?(https?:|//)[^"'> ]*""")
WIDTHS = (1366, 390)
# what a page shows outside code, how far what it draws and what it holds reach, and whether a wide table can be moved
LOOK = """() => {
    const article = document.querySelector("article"), wide = document.documentElement.scrollWidth
    const width = document.documentElement.clientWidth
    const shown = article.cloneNode(true)
    shown.querySelectorAll("pre, code").forEach(one => one.remove())
    const box = one => one.getBoundingClientRect()
    const movable = one => {
        for (let at = one; at != article; at = at.parentElement)
            if (["auto", "scroll"].includes(getComputedStyle(at).overflowX) && box(at).right <= width) return true
        return false
    }
    const all = selector => [...article.querySelectorAll(selector)]
    return {
        text: shown.textContent, wide, width,
        formulas: all(".formula svg").map(one => [box(one).width, box(one).height]),
        names: all(".chart text.name").map(one => one.textContent),
        cut: all("table:not(.highlighttable), .chart svg, .formula svg")
            .filter(one => box(one).right > width && !movable(one)).map(one => one.outerHTML.slice(0, 200)),
        columns: Math.max(0, ...all("tr").map(one => one.children.length)),
    }
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site: that of DMSRL_ADAPT_SITE, else one built here."""
    if folder := os.environ.get("DMSRL_ADAPT_SITE"):
        return Path(folder)
    pytest.importorskip("mkdocs", reason="pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def looks(site):
    """What a browser without a network sees of three pages, by kind and width, and all that went wrong."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    found = {}
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=180_000
        )
        for kind, path in three_pages(site).items():
            for width in WIDTHS:
                found[kind, width] = look_at(browser, path, width)
        browser.close()
    return found


def three_pages(site):
    """The page with the most formulas, the drawn step, and the page with the widest table."""
    texts = {path: path.read_text() for path in sorted(site.rglob("*.html"))}

    def columns(path):
        return max((row.count("<th") for row in re.findall(r"<thead>.*?</thead>", texts[path], re.DOTALL)), default=0)

    formulas = max(texts, key=lambda path: texts[path].count('class="formula"') + texts[path].count('"arithmatex"'))
    step = next(path for path in texts if "<h1" in texts[path] and "One training step</h1>" in anchorless(texts[path]))
    return {"formulas": formulas, "step": step, "tables": max(texts, key=columns)}


def anchorless(page):
    """A page without the signs beside its headings."""
    return re.sub(r'<a class="headerlink".*?</a>', "", page)


def look_at(browser, path, width):
    """Opens a page from its folder; what is seen of it, and everything that went wrong."""
    problems = []
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    look = page.evaluate(LOOK)
    context.close()
    return look | {"problems": problems}


def test_nothing_fails_where_there_is_no_network(looks):
    assert {at: look["problems"] for at, look in looks.items() if look["problems"]} == {}


def test_no_page_sticks_out_to_the_right_and_what_is_wider_can_be_moved(looks):
    for at, look in looks.items():
        assert look["wide"] == look["width"] and look["cut"] == [], at
    assert looks["tables", 390]["columns"] > 6


def test_formulas_are_drawn(looks):
    for width in WIDTHS:
        look = looks["formulas", width]
        assert look["formulas"] and all(across > 100 and high > 15 for across, high in look["formulas"])
    for at, look in looks.items():
        assert TEX.findall(look["text"]) == [], at


def test_the_step_is_drawn(looks):
    for width in WIDTHS:
        look = looks["step", width]
        assert {"batch", "ProgressHook", "PseudoLabelHook", "weighted sum"} <= set(look["names"])
        assert "flowchart" not in look["text"] and "-->" not in look["text"]


def test_no_page_asks_a_server(site):
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(files) > 50
    assert {path: found for path in files if (found := ASKED.findall(path.read_text()))} == {}


def test_hooks_of_the_drawn_step_lead_to_their_pages(site):
    step = three_pages(site)["step"]
    links = re.findall(r'<a href="([^"]+)"><text class="name"', step.read_text())
    assert len(links) > 5
    assert [link for link in links if not (step.parent / link).is_file()] == []


def test_the_list_of_the_navigation_is_no_page(site):
    assert not list(site.rglob("SUMMARY*"))
