"""Makes the pages of the site: one for every public name, with a picture of what it does, and those that are written by
hand, README among them, each with the pictures that it shows."""

import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import mkdocs_gen_files

import dmsrl_adapt
from docs.pictures import PICTURES, draw
from docs.step import as_mermaid, drawn_hooks, training_step

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "benchmarks/README.md": "benchmarks/README.md",
}
FIRST = ("two_folders.md", "results.md", "recipe.md", "choosing.md")  # in this order, the others by name
WHOLE_STEP = {"DMSRLHook", "AttachedHook", "DMSRL", "attach_dmsrl"}
LINK = re.compile(r"\]\(([^)#:]+)\)")


def titles() -> dict[str, str]:
    """Gives the title of every written page by its path, in the order of the navigation."""
    names = dict.fromkeys([*FIRST, *sorted(path.name for path in (ROOT / "docs").glob("*.md"))])
    by_hand = {name: title_of((ROOT / "docs" / name).read_text()) for name in names}
    return {"index.md": "Overview", **by_hand, "step.md": "One training step"}


def title_of(text: str) -> str:
    """Gives the first heading of a page."""
    return next(line[2:] for line in text.splitlines() if line.startswith("# "))


def copy_written_page(source: str, page: str) -> None:
    """Copies a page of the repository with the pictures that it shows; links into docs/ and out of it lead to pages."""
    text, folder = (ROOT / source).read_text(), (ROOT / source).parent
    for linked in LINK.findall(text):
        path = (folder / linked).resolve()
        if path.suffix == ".png":
            with mkdocs_gen_files.open(str(path.relative_to(ROOT)), "wb") as picture:
                picture.write(path.read_bytes())
    # what is no page is named, not linked
    text = LINK.sub(lambda found: found[0] if is_page(folder, found[1]) else "]", text)
    text = text.replace("](docs/", "](") if "/" not in source else text.replace("](../docs/", "](../")
    text = text.replace("](../", "](") if source.startswith("docs/") else text
    with mkdocs_gen_files.open(page, "w") as file:
        file.write(text)


def is_page(folder: Path, linked: str) -> bool:
    """Whether the site has what a page in a folder links to: pictures, pages by hand, those made of public names."""
    path = (folder / linked).resolve()
    is_by_hand = path.parent == ROOT / "docs" or str(path.relative_to(ROOT)) in WRITTEN
    return path.suffix == ".png" or (path.suffix == ".md" and (is_by_hand or not path.exists()))


def write_reference(module: str, names: list[str], charts: dict[str, str]) -> list[str]:
    """Writes a page a public name of a module, with its picture; gives the lines of the navigation."""
    lines, folder = [], f"reference/{module.rpartition('.')[2]}"
    for name in names:
        with mkdocs_gen_files.open(f"{folder}/{name}.md", "w") as file:
            # by its file: a function of the same name as its file would be taken for the file
            file.write(f"# {name}\n\n::: {getattr(sys.modules[module], name).__module__}.{name}\n")
            if name in PICTURES:
                write_picture(name, f"{folder}/{name}.png")
                file.write(f"\n![{name}, drawn by running it]({name}.png)\n")
            if name in charts:
                file.write(f"\nIn a running step:\n\n{charts[name]}\n")
            if name in WHOLE_STEP:
                file.write("\nThe flow of data in it: [One training step](../../step.md).\n")
        lines.append(f"        - [{name}]({folder}/{name}.md)\n")
    return lines


def is_class(module: ModuleType, name: str) -> bool:
    """Whether the name is that of a class, not of a function."""
    return isinstance(getattr(module, name), type)


def write_picture(layer: str, page: str) -> None:
    """Writes the picture of a layer."""
    with tempfile.TemporaryDirectory() as folder, mkdocs_gen_files.open(page, "wb") as file:
        file.write(draw(layer, Path(folder) / "picture.png").read_bytes())


def main() -> None:
    """Writes all pages and the navigation."""
    by_hand = {f"docs/{path.name}": path.name for path in (ROOT / "docs").glob("*.md")}
    for source, page in (WRITTEN | by_hand).items():
        copy_written_page(source, page)
    charts = drawn_hooks()
    with mkdocs_gen_files.open("step.md", "w") as file:
        file.write(f"# One training step\n\n{as_mermaid(training_step())}\n")
    layers, hooks = dmsrl_adapt.layers.__all__, dmsrl_adapt.hooks.__all__
    whole = [name for name in dmsrl_adapt.__all__ if name not in (*layers, *hooks, "__version__")]
    lines = [f"- [{title}]({page})\n" for page, title in titles().items()]
    lines.append("- Reference\n")
    for title, module, names in (
        ("The whole", "dmsrl_adapt", whole),
        ("Layers", "dmsrl_adapt.layers", [name for name in layers if is_class(dmsrl_adapt.layers, name)]),
        ("Formulas", "dmsrl_adapt.layers", [name for name in layers if not is_class(dmsrl_adapt.layers, name)]),
        ("Hooks", "dmsrl_adapt.hooks", hooks),
    ):
        lines += [f"    - {title}\n", *write_reference(module, names, charts)]
    lines += [
        "- [Benchmarks](benchmarks/README.md)\n",
        "- [Contributing](CONTRIBUTING.md)\n",
        "- [Changelog](CHANGELOG.md)\n",
    ]
    with mkdocs_gen_files.open("SUMMARY.md", "w") as file:
        file.writelines(lines)


main()
