"""INSTRUCTORS.md: what it says of notebooks, numbers, mistakes and commands is so."""

import json
import re

import pytest

from minddpm.__main__ import main
from minddpm.course.contents import all_exercises
from minddpm.course.kit.cells import read_code, read_task
from rooms import FINISHED, ROOT

EXERCISES = all_exercises()
COMMON = {"wrong shape", "wrong type", "not finite", "changes its input"}
TEXT = (ROOT / "INSTRUCTORS.md").read_text("utf-8")
NOTEBOOKS = [ROOT / "notebooks" / f"{chapter.stem}.ipynb" for chapter in FINISHED]
MINUTES = {chapter.number: chapter.minutes for chapter in FINISHED}
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def plain(text: str) -> str:
    """Return text with its white space, which Markdown does not show, made even."""
    return " ".join(text.split())


def chapter(number: str) -> str:
    """Return what the guide says of a notebook."""
    return re.search(rf"^### {number} ·.*?(?=^### |\Z)", TEXT, re.M | re.S)[0]


def rows(number: str) -> list[tuple[str, str, str]]:
    """Return section, minutes and numbers of each row of a notebook's table."""
    lines = re.findall(r"^\| (.*?) \| (\S+) \|(.*)\|$", chapter(number), re.M)
    return [
        (title, minutes, said) for title, minutes, said in lines if minutes != "min"
    ]


def sections(path) -> list[tuple[str, str]]:
    """Return title and printed output of each section of a saved notebook."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    found: list[tuple[str, str]] = []
    for cell in cells:
        source = "".join(cell["source"])
        head = re.search(r"^## (.*)$", source, re.M)
        if cell["cell_type"] == "markdown" and head:
            found.append((head[1], ""))
        for output in cell.get("outputs", ()) if found else ():
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            found[-1] = (found[-1][0], found[-1][1] + "\n" + "".join(text))
    return found


@each
def test_titles_and_minutes_are_the_notebooks(path):
    first = "".join(json.loads(path.read_text("utf-8"))["cells"][0]["source"])
    number = path.name[:2]
    assert chapter(number).splitlines()[0] == f"##{first.splitlines()[0]}"
    *table, (_, total, _) = rows(number)
    assert [title for title, _, _ in table] == [title for title, _ in sections(path)]
    assert total == f"**{MINUTES[number]}**"
    assert sum(float(minutes) for _, minutes, _ in table) == MINUTES[number]


@each
def test_numbers_are_those_of_the_saved_run(path):
    outputs = {title: plain(output) for title, output in sections(path)}
    quoted = [
        (title, plain(text.replace("\\|", "|")))
        for title, _, said in rows(path.name[:2])
        for text in re.findall(r"`(.*?)`", said)
    ]
    assert quoted
    assert not [(title, text) for title, text in quoted if text not in outputs[title]]


@each
def test_misconceptions_are_those_with_a_box(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = plain("\n".join("".join(c["source"]) for c in cells).replace("\n>", "\n"))
    (line,) = re.findall(
        r"^Misconceptions that have a box: (.*)$", chapter(path.name[:2]), re.M
    )
    for claim in line.rstrip(".").split("; "):
        assert f"Misconception: {claim.rstrip('.')}" in text, claim


@each
def test_mistakes_are_some_that_the_checks_name(path):
    tasks = [task for task in map(read_task, read_code(path)) if task]
    found = re.findall(r"(\d+\.\d+) \*(.*?)\*", chapter(path.name[:2]))
    exercises = [EXERCISES[task.check.removeprefix("check_")] for task in tasks]
    titles = [exercise.title.split(":")[0] for exercise in exercises]
    assert [f"Exercise {n}" for n, _ in found] == titles
    for exercise, (_, names) in zip(exercises, found, strict=True):
        known = {m.name.replace("_", " ") for m in exercise.mistakes} | COMMON
        assert set(names.split(", ")) <= known, exercise.name


def test_commands_and_options_exist(capsys):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert set(re.findall(r"`make ([\w-]+)`", TEXT)) <= set(targets)
    for command in set(re.findall(r"^`?minddpm (\w+)", TEXT, re.M)):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([command, "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["grade", "--help"])
    shown = plain(capsys.readouterr().out)
    for option, default in re.findall(r"`(--\w+) (\d+)`", TEXT):
        assert re.search(rf"{option} \w+ .*?\({default}\)", shown), option


def test_the_readers_of_the_guide_see_what_is_there():
    assert [row[1] for row in rows("00")][-1] == "**8**"
    assert len(sections(NOTEBOOKS[0])) == len(rows("00")) - 1
