"""Makes the pages that are not written by hand: one for every public name, and the README files of the repository."""

import re
from pathlib import Path

import mkdocs_gen_files

import dmsrl_adapt
from docs.step import as_mermaid, training_step

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "benchmarks/README.md": "benchmarks/README.md",
    "benchmarks/results/README.md": "benchmarks/results/README.md",
}
LINK = re.compile(r"\]\(([^)#:]+)\)")


def titles() -> dict[str, str]:
    """Gives the title of every written page by its path, in the order of the navigation."""
    by_hand = {path.name: title_of(path.read_text()) for path in sorted((ROOT / "docs").glob("*.md"))}
    return {"index.md": "Overview", "step.md": "One training step", **by_hand}


def title_of(text: str) -> str:
    """Gives the first heading of a page."""
    return next(line[2:] for line in text.splitlines() if line.startswith("# "))


def copy_written_page(source: str, page: str) -> None:
    """Copies a README of the repository with the pictures that it shows; links into docs/ lead to its pages."""
    text = (ROOT / source).read_text().replace("](docs/", "](")
    for linked in LINK.findall(text):
        path = (ROOT / source).parent / linked
        if path.suffix == ".png":
            with mkdocs_gen_files.open(str(path.resolve().relative_to(ROOT)), "wb") as picture:
                picture.write(path.read_bytes())
    # what is no page is named, not linked
    text = LINK.sub(lambda found: found[0] if found[1].endswith((".md", ".png")) else "]", text)
    with mkdocs_gen_files.open(page, "w") as file:
        file.write(text)


def write_reference(module: str, names: list[str]) -> list[str]:
    """Writes a page a public name of a module; gives the lines of the navigation."""
    lines = []
    for name in names:
        page = f"reference/{module.rpartition('.')[2]}/{name}.md"
        with mkdocs_gen_files.open(page, "w") as file:
            file.write(f"# {name}\n\n::: {module}.{name}\n")
        lines.append(f"        - [{name}]({page})\n")
    return lines


def main() -> None:
    """Writes all pages and the navigation."""
    for source, page in WRITTEN.items():
        copy_written_page(source, page)
    with mkdocs_gen_files.open("step.md", "w") as file:
        file.write(f"# One training step\n\n{as_mermaid(training_step())}\n")
    layers, hooks = dmsrl_adapt.layers.__all__, dmsrl_adapt.hooks.__all__
    whole = [name for name in dmsrl_adapt.__all__ if name not in (*layers, *hooks, "__version__")]
    lines = [f"- [{title}]({page})\n" for page, title in titles().items()]
    lines.append("- Reference\n")
    for title, module, names in (
        ("The whole", "dmsrl_adapt", whole),
        ("Layers", "dmsrl_adapt.layers", layers),
        ("Hooks", "dmsrl_adapt.hooks", hooks),
    ):
        lines += [f"    - {title}\n", *write_reference(module, names)]
    lines += [
        "- [Benchmarks](benchmarks/README.md)\n",
        "- [Results](benchmarks/results/README.md)\n",
        "- [Contributing](CONTRIBUTING.md)\n",
        "- [Changelog](CHANGELOG.md)\n",
    ]
    with mkdocs_gen_files.open("SUMMARY.md", "w") as file:
        file.writelines(lines)


main()
