"""tools/address.py: a fork's address, in all places and nowhere else."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rooms import ROOT

SCRIPT = ROOT / "tools/address.py"
ADDRESSES = re.compile(
    r"(?:git\+https://github\.com|colab\.research\.google\.com/github|"
    r"mybinder\.org/v2/gh)/([\w-]+/[\w-]+)"
)
FORK = "https://github.com/some-body/their_fork"
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def tree(tmp_path):
    """Copy all that names the address."""
    (tmp_path / "notebooks").mkdir()
    for path in [ROOT / "pyproject.toml", *ROOT.glob("*.md")]:
        shutil.copy(path, tmp_path)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, tmp_path / "notebooks")
    (tmp_path / "tools").mkdir()
    shutil.copy(SCRIPT, tmp_path / "tools")
    return tmp_path


def contents(tree):
    return {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def move(tree, address):
    return subprocess.run(
        [sys.executable, tree / "tools/address.py", address],
        capture_output=True,
        text=True,
    )


def test_a_fork_agrees_with_itself(tree):
    result = move(tree, FORK)
    assert result.returncode == 0, result.stderr
    project = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"]["Repository"] == FORK
    readme = (tree / "README.md").read_text("utf-8")
    assert f"git clone {FORK}\ncd their_fork\n" in readme
    for name in NOTEBOOKS:
        nb = json.loads((tree / "notebooks" / name).read_text("utf-8"))
        top, setup = ("".join(cell["source"]) for cell in nb["cells"][:2])
        path = f"some-body/their_fork/blob/main/notebooks/{name}"
        assert f"https://colab.research.google.com/github/{path}" in top
        assert f'REPOSITORY = "{FORK}"' in setup
    assert f"{2 + len(NOTEBOOKS)} files name {FORK} now" in result.stdout


def faults(tree: Path) -> list[str]:
    """Return the places that name another address than pyproject.toml does."""
    project = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]
    address = project["urls"]["Repository"]
    slug = address.removeprefix("https://github.com/")
    readme = (tree / "README.md").read_text("utf-8")
    found = [] if f"git clone {address}" in readme else ["README: another clone"]
    for path in [tree / "README.md", *sorted((tree / "notebooks").glob("*.ipynb"))]:
        others = set(ADDRESSES.findall(path.read_text("utf-8"))) - {slug}
        found += [f"{path.name}: {other}" for other in others]
    for path in sorted((tree / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        top = "".join("".join(cell["source"]) for cell in cells[:2])
        where = f"colab.research.google.com/github/{slug}/blob/main/notebooks/"
        if where + path.name not in top:
            found.append(f"{path.name}: no link on top that opens this file")
    return found


def test_the_repository_agrees_with_itself():
    assert not faults(ROOT)


def test_another_address_is_found_out(tree):
    page = tree / "notebooks" / NOTEBOOKS[1]
    text = page.read_text("utf-8")
    page.write_text(text.replace("/blob/main/notebooks/01", "/blob/main/notebooks/02"))
    (tree / "README.md").write_text("git+https://github.com/else/where")
    assert faults(tree) == [
        "README: another clone",
        "README.md: else/where",
        f"{NOTEBOOKS[1]}: no link on top that opens this file",
    ]


def test_the_rules_hold_in_a_fork(tree):
    move(tree, FORK)
    assert not faults(tree)


def test_nothing_else_changes_and_the_way_back_is_the_same(tree):
    project = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]
    before = contents(tree)
    move(tree, FORK)
    there = contents(tree)
    old = project["urls"]["Repository"].removeprefix("https://github.com/").encode()
    new = FORK.removeprefix("https://github.com/").encode()
    for path, text in there.items():
        if path.suffix == ".ipynb":
            assert text != before[path]
            assert text.replace(new, old) == before[path]
    move(tree, project["urls"]["Repository"])
    assert contents(tree) == before


@pytest.mark.parametrize(
    "address",
    [
        "https://gitlab.com/a/b",
        "github.com/a/b",
        "https://github.com/a",
        "",
        FORK + "/",
    ],
)
def test_an_address_that_cannot_serve_changes_nothing(tree, address):
    before = contents(tree)
    result = move(tree, address)
    assert result.returncode == 2
    assert "must be https://github.com/OWNER/NAME" in result.stderr
    assert repr(address) in result.stderr
    assert contents(tree) == before


def test_an_address_that_only_begins_alike_is_left_alone(tree):
    page = tree / "NOTES.md"
    project = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]
    page.write_text(f"{project['urls']['Repository']}-extras", "utf-8")
    move(tree, FORK)
    assert re.fullmatch(r"\S+minddpm-extras", page.read_text("utf-8"))
