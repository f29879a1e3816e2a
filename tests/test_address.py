"""tools/address.py: a fork's address, in all places and nowhere else."""

import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib

import pytest

from rooms import ROOT

SCRIPT = ROOT / "tools/address.py"
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


def test_the_rules_of_the_project_hold_in_a_fork(tree):
    move(tree, FORK)
    # the rules read the address when they are loaded: loaded there, it is the fork's
    (tree / "tests").mkdir()
    shutil.copy(ROOT / "tests/test_project.py", tree / "tests")
    rules = runpy.run_path(str(tree / "tests/test_project.py"))
    assert rules["SLUG"] == "some-body/their_fork"
    rules["test_readme_names_the_repository_as_pyproject_does"]()
    assert [path.name for path in rules["NOTEBOOKS"]] == NOTEBOOKS
    for path in rules["NOTEBOOKS"]:
        rules["test_saved_notebook_is_as_a_reader_should_find_it"](path)


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
