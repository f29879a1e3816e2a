"""What tests share: the repository's places, its chapters, and what stands in them.

Of a notebook: an exercise is a code cell with the tag "exercise". The check is the next
code cell, at most one text further on. The solution is a Python block in a folded
<details> block before the next exercise; it replaces the whole cell.
"""

import ast
import copy
import functools
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from nbformat import NotebookNode

from minddpm.course.contents import CHAPTERS, Chapter
from minddpm.course.grading.judge import Statement, parse
from minddpm.course.kit.cells import BLOCK, FOLDED, folded, read_task

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NOTEBOOKS = [ROOT / "notebooks" / f"{chapter.stem}.ipynb" for chapter in CHAPTERS]
FINISHED = [chapter for chapter in CHAPTERS if not chapter.draft]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_chapter = pytest.mark.parametrize(
    "chapter", CHAPTERS, ids=[chapter.stem for chapter in CHAPTERS]
)


def seeded(seed: int = 0) -> torch.Generator:
    """Return random numbers of a test's own."""
    return torch.Generator().manual_seed(seed)


@functools.cache
def load(path: Path) -> ModuleType:
    """Import a file that is in no package, such as a script of tools/."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name: str) -> ModuleType:
    """Return a script of tools/."""
    return load(ROOT / "tools" / f"{name}.py")


def room(chapter: Chapter) -> Path:
    """Return the folder of its tests."""
    return ROOT / "tests" / "course" / f"ch{chapter.stem}"


def answers(chapter: Chapter) -> ModuleType | SimpleNamespace:
    """Return the answers to its exercises that are no faces: RIGHT and WRONG."""
    path = room(chapter) / "answers.py"
    return load(path) if path.exists() else SimpleNamespace(RIGHT={}, WRONG={})


def texts(ax: object = None) -> list[str]:
    """Return what is written in the figure, or on one of its axes."""
    import matplotlib.pyplot as plt

    axes = plt.gcf().axes if ax is None else [ax]
    return [t.get_text() for each in axes for t in each.texts if t.get_text()]


# --- notebooks ------------------------------------------------------------------------


class Exercise(NamedTuple):
    """Where an exercise is, as indices of cells, and its solution."""

    cell: int
    check: int
    solution: str


def is_exercise(cell: NotebookNode) -> bool:
    return "exercise" in cell.metadata.get("tags", [])


def calls_check(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and read_task(cell.source) is not None


def is_stub(source: str) -> bool:
    """Tell whether a cell is left to the reader: one open end, and no more."""
    ends = [
        node
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node))
        or (isinstance(node, ast.Assign) and ast.unparse(node.value) == "...")
    ]
    return len(ends) == 1


def read(nb: NotebookNode) -> tuple[list[Exercise], list[str]]:
    """Return the exercises of a notebook, and what is wrong with its structure."""
    starts = [i for i, cell in enumerate(nb.cells) if is_exercise(cell)]
    found, faults = [], []
    for k, i in enumerate(starts):
        end = starts[k + 1] if k + 1 < len(starts) else len(nb.cells)
        exercise, wrong = read_exercise(nb.cells[i:end])
        faults += [f"exercise in cell {i}: {text}" for text in wrong]
        if exercise:
            found.append(Exercise(i, i + exercise.check, exercise.solution))
    for i, cell in enumerate(nb.cells):
        if calls_check(cell) and not any(start < i for start in starts):
            faults.append(f"cell {i}: a check without an exercise")
        if cell.cell_type == "markdown":
            later = nb.cells[i + 1].source if i + 1 < len(nb.cells) else ""
            faults += [f"cell {i}: {text}" for text in read_text(cell.source, later)]
    return found, faults


def read_exercise(cells: list[NotebookNode]) -> tuple[Exercise | None, list[str]]:
    """Read what starts with an exercise and ends before the next one."""
    faults = []
    if not is_stub(cells[0].source):
        faults.append("not one NotImplementedError, or one `= ...`")
    checks = [k for k, cell in enumerate(cells) if calls_check(cell)]
    code = [k for k, cell in enumerate(cells) if cell.cell_type == "code"]
    if len(checks) != 1 or checks[0] > 2 or checks[0] != code[1]:
        faults.append(f"not one check, close to it, but {len(checks)}")
    texts = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    blocks = [BLOCK.findall(body) for body in folded(texts, "Solution")]
    if [len(found) for found in blocks] != [1]:
        faults.append("not one solution with one block of Python")
    else:
        faults += misfits(cells[0], blocks[0][0])
    return (None if faults else Exercise(0, checks[0], blocks[0][0])), faults


def read_text(text: str, later: str) -> list[str]:
    """Return what is wrong with the questions and folded blocks of a text."""
    faults = []
    if text.count("<details>") != len(FOLDED.findall(text)):
        faults.append("a folded block that will not show as one")
    return faults + [
        "a question without an answer"
        for question in re.finditer(r"\*\*Think\b", text)
        if not folded(text[question.start() :] + "\n\n" + later, "Answer")
    ]


def misfits(cell: NotebookNode, solution: str) -> list[str]:
    """Return where a solution defines other things than the exercise asks for."""

    def heads(source: str) -> dict[str, str]:
        found = {}
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = f"{node.name}({ast.unparse(node.args)})"
            elif isinstance(node, ast.ClassDef):
                found[node.name] = node.name
            elif isinstance(node, ast.Assign):
                name = ast.unparse(node.targets[0])
                found[name] = name
        return found

    try:
        solved = heads(solution)
    except SyntaxError as error:
        return [f"the solution is no Python: {error}"]
    return [
        f"the solution lacks {head}"
        for name, head in heads(cell.source).items()
        if solved.get(name) != head
    ]


def solve(nb: NotebookNode) -> NotebookNode:
    """Return a copy with every solution in its exercise's cell."""
    solved = copy.deepcopy(nb)
    for exercise in read(nb)[0]:
        solved.cells[exercise.cell].source = exercise.solution
    return solved


def shown(cell: NotebookNode) -> str:
    """Return the text of a cell's result."""
    return "".join(
        output["data"].get("text/plain", "")
        for output in cell.outputs
        if output["output_type"] == "execute_result"
    )


def touched(nb: NotebookNode) -> NotebookNode:
    """Return a solved copy, of which is left what its answers can reach.

    That is the exercises, their checks, every later cell that uses what an answer
    binds, directly or through others, and before them whatever they use. All the other
    cells are the same whether it is solved or not.
    """
    nb, exercises = solve(nb), read(nb)[0]
    code = [i for i, cell in enumerate(nb.cells) if cell.cell_type == "code"]
    parts = {
        i: [Statement(i, node) for node in parse(nb.cells[i].source)] for i in code
    }
    modules = {name for i in code for part in parts[i] for name in part.imports}

    def of(i: int, *kinds: str) -> set[str]:
        sets = [getattr(part, kind) for part in parts[i] for kind in kinds]
        return set().union(*sets)

    chosen = {i for exercise in exercises for i in exercise[:2]}
    names: set[str] = set()
    for i in code:
        if i in chosen or of(i, "uses", "changes") & names:
            chosen.add(i)
            names |= of(i, "binds") - modules
    wanted: set[str] = set()
    for i in reversed(code):
        if i in chosen or (of(i, "binds") | of(i, "changes") - modules) & wanted:
            chosen.add(i)
            wanted |= of(i, "uses")
    for i in set(code) - chosen:
        nb.cells[i].source = ""
    return nb
