"""What Colab has is enough, and the setup cell changes nothing of it.

`make test-colab` runs the whole suite with the versions in colab.txt. Here is what any
environment can check: the bounds, and what a reader's first cell does in Colab.
"""

import os
import subprocess
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

from rooms import NOTEBOOKS, PROJECT, ROOT

LINES = (ROOT / "tests" / "colab.txt").read_text("utf-8").splitlines()
HAS = dict(line.split("==") for line in LINES if not line.startswith("#"))


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_colab_has_every_requirement_in_a_version_that_will_do(line):
    need = Requirement(line)
    if need.name != "jupyterlab":  # Colab is its own front end
        assert HAS[need.name] in need.specifier


def setup_cells() -> set[str]:
    """Return the first code cells of all notebooks; the same text counts once."""
    found = set()
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        found.add(next(cell.source for cell in cells if cell.cell_type == "code"))
    return found


def test_all_notebooks_begin_alike():
    assert len(setup_cells()) == 1


@pytest.mark.slow
def test_the_setup_cell_installs_the_package_whole_and_nothing_else(tmp_path):
    pytest.importorskip("setuptools", minversion="77")  # builds it, with no download
    git = ["git", "-C", str(ROOT), "ls-tree", "-r", "--name-only", "HEAD", "minddpm"]
    listing = subprocess.run(git, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")

    # An environment that sees all packages of this one except minddpm, and IPython in
    # it, which takes its side for Colab's and the checkout for the published address.
    home = tmp_path / "venv"
    venv.create(home)
    places = sysconfig.get_paths("venv", vars={"base": home, "platbase": home})
    (tmp_path / "setup.ipy").write_text(
        "import sys, types\nsys.modules['google.colab'] = types.ModuleType('colab')\n"
        + setup_cells().pop()
        + "\nprint(minddpm.__file__)"
    )
    colab = {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "IPYTHONDIR": str(tmp_path),
        "PIP_NO_BUILD_ISOLATION": "0",  # sic: as with all its --no-..., 0 means no
        "PIP_NO_INDEX": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": PROJECT["urls"]["Repository"],
    }
    result = subprocess.run(
        [Path(places["scripts"]) / "python", "-m", "IPython", "setup.ipy"],
        cwd=tmp_path,
        env=os.environ | colab,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    site = Path(places["purelib"])
    assert str(site / "minddpm" / "__init__.py") in result.stdout
    assert "minddpm is ready, on" in result.stdout
    assert {d.name for d in metadata.distributions(path=[str(site)])} == {"minddpm"}
    installed = {
        path.relative_to(site).as_posix()
        for path in (site / "minddpm").rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    assert installed == set(listing.stdout.split())
