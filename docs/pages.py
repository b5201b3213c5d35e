"""Generates the pages of the site: the written pages with their images, README among them, and the reference."""

import re
import sys
import tempfile
from pathlib import Path

import mkdocs_gen_files

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the command `mkdocs` does not look for modules where it runs

from docs import reference  # noqa: E402
from docs.hook_chart import draw_hook  # noqa: E402
from docs.navigation import WRITTEN, summary  # noqa: E402
from docs.pictures import PICTURES, draw  # noqa: E402
from docs.step import running_hooks, training_step  # noqa: E402
from docs.step_chart import draw_step  # noqa: E402

WHOLE_STEP = {"DMSRLHook", "AttachedHook", "DMSRL", "attach_dmsrl"}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:]+)\)")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)#:]+)\)")
STEP = """# One training step

One training step of the default recipe, recorded by running it. Boxes are hooks, in the order in which they run, with
the modules that they use. A dashed module is one whose buffers the hook updates. Thin arrows are context keys, blue for
the source and orange for the target. Thick arrows are losses.

"""


def write(page: str, text: str) -> None:
    """Writes a page."""
    with mkdocs_gen_files.open(page, "w") as file:
        file.write(text)


def copy_written_page(source: str, page: str) -> None:
    """Copies a page of the repository with its images, and changes links between files to links between pages."""
    text, folder = (ROOT / source).read_text(), (ROOT / source).parent
    for linked in [*PICTURE.findall(text), *(linked for _, linked in LINK.findall(text))]:
        path = (folder / linked).resolve()
        if path.suffix == ".png":
            with mkdocs_gen_files.open(str(path.relative_to(ROOT)), "wb") as picture:
                picture.write(path.read_bytes())
    # links to files that are not pages become plain text
    text = LINK.sub(lambda found: found[0] if is_page(folder, found[2]) else found[1], text)
    text = text.replace("](docs/", "](") if "/" not in source else text.replace("](../docs/", "](../")
    text = text.replace("](../", "](") if source.startswith("docs/") else text
    write(page, text)


def is_page(folder: Path, linked: str) -> bool:
    """Whether a link of a page in this folder leads to an image or page of the site."""
    path = (folder / linked).resolve()
    is_by_hand = path.parent == ROOT / "docs" or str(path.relative_to(ROOT)) in WRITTEN
    return path.suffix == ".png" or (path.suffix == ".md" and (is_by_hand or not path.exists()))


def write_reference() -> None:
    """Writes the page of every public name, with its picture and its chart."""
    running = running_hooks()
    for one in (name for names in reference.rooms().values() for name in names):
        chart = draw_hook(one.name, running[one.name]) if one.name in running else ""
        text = reference.page(one, one.name in PICTURES, chart)
        if one.name in WHOLE_STEP:
            text += "\nIts data flow: [One training step](../../step.md).\n"
        write(one.page, text)
        if one.name in PICTURES:
            write_picture(one.name, one.page.replace(".md", ".png"))
    write("reference/index.md", reference.index())


def write_picture(layer: str, page: str) -> None:
    """Writes the picture of a name."""
    with tempfile.TemporaryDirectory() as folder, mkdocs_gen_files.open(page, "wb") as file:
        file.write(draw(layer, Path(folder) / "picture.png").read_bytes())


def main() -> None:
    """Writes all pages and the navigation."""
    for source, page in WRITTEN.items():
        copy_written_page(source, page)
    write_reference()
    rooms = {title: [(one.name, one.page) for one in names] for title, names in reference.rooms().items()}
    links = {name: page.replace(".md", ".html") for names in rooms.values() for name, page in names}
    step = STEP + draw_step(training_step(), links) + "\n"
    write("step.md", step)
    write("SUMMARY.md", summary({"step.md": step, "reference/index.md": reference.index()}, rooms.items()))


main()
