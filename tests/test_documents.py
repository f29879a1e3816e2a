"""README, CI and all other files: they agree with what they speak of."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from rooms import FINISHED, ROOT

README = ROOT / "README.md"


def test_readme_and_ci_give_the_same_command():
    first = README.read_text("utf-8").split("```")[1]
    commands = [line.split("#")[0].strip() for line in first.splitlines()]
    assert commands.index("make lab") < commands.index("make test")
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.search(r"^(timed )?make test$", ci, re.MULTILINE)


def test_what_readme_links_to_exists():
    targets = re.findall(r"\]\(([^)\s]+)\)", README.read_text("utf-8"))
    assert targets
    paths = [target.split("#")[0] for target in targets if ":" not in target]
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_readme_lists_the_files_of_the_core_and_the_folders_beside_them():
    text, package = README.read_text("utf-8"), ROOT / "minddpm"
    listed = re.findall(r"^\| `(\w+\.py|\w+/)` \|", text, re.MULTILINE)
    files = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.name}/" for path in package.iterdir() if path.is_dir()}
    assert sorted(listed) == sorted(files | folders - {"__pycache__/"})


@pytest.mark.parametrize("chapter", FINISHED, ids=lambda chapter: chapter.stem)
def test_readme_and_notebook_say_what_contents_says(chapter):
    text = README.read_text("utf-8")
    row = f"| [{chapter.stem}](notebooks/{chapter.stem}.ipynb) | {chapter.goal} "
    row += f"| {chapter.minutes} | {chapter.seconds} |"
    assert row in text.splitlines()
    path = ROOT / "notebooks" / f"{chapter.stem}.ipynb"
    top = "".join(json.loads(path.read_text("utf-8"))["cells"][0]["source"])
    assert int(re.search(r"(\d+) minutes to read", top)[1]) == chapter.minutes


def test_readme_names_no_other_notebook():
    named = re.findall(r"\]\(notebooks/(\w+)\.ipynb\)", README.read_text("utf-8"))
    assert named == [chapter.stem for chapter in FINISHED]


def test_no_file_names_the_machine_it_was_written_on():
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    places = {str(ROOT), str(Path.home()), str(ROOT.parent)} - {ROOT.anchor}
    homes = re.compile(r"(?:/(?:home|Users|root)|[A-Z]:\\+Users\\+)[/\\]\w")
    found = []
    for name in listing.stdout.splitlines():
        try:
            text = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture or weights; a file removed but not yet committed
        if homes.search(text) or any(f"{place}/" in text for place in places):
            found.append(name)
    assert not found
