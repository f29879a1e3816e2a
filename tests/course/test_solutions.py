"""The exercises: each has a check and a solution, and the solution passes the check.

    python tests/test_solutions.py [00 …]

prints seconds and memory of every notebook, as it is handed out and as it is solved.
Of a notebook: an exercise is a code cell with the tag "exercise". The check is the next
code cell, at most one text further on. The solution is a Python block in a folded
<details> block before the next exercise; it replaces the whole cell.
"""

import ast
import copy
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import nbformat
import pytest
from nbformat import NotebookNode

from minddpm.course.kit.cells import BLOCK, FOLDED, folded, read_task

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])


def load_build() -> ModuleType:
    """Return notebooks/build.py, which is a script."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "notebooks/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


# --- the tests ------------------------------------------------------------------------


@each
def test_every_exercise_has_a_check_and_a_solution(path):
    exercises, faults = read(nbformat.read(path, as_version=4))
    assert not faults
    least = 1 if path.name.startswith("00") else 3
    assert len(exercises) >= least


@pytest.mark.slow
@each
@pytest.mark.filterwarnings("default")  # Jupyter's client's are not ours to mend
def test_solved_it_passes_every_check(path, record_property):
    build = load_build()
    handed_out = nbformat.read(path, as_version=4)
    nb = solve(handed_out)
    seconds, mebibytes = build.run(nb, path.parent)
    record_property("seconds", round(seconds, 1))
    record_property("peak MiB", mebibytes)
    print(f"{path.stem}, solved: {seconds:.1f} s, peak {mebibytes} MiB")
    assert not list(build.faults(nb))
    for exercise in read(handed_out)[0]:
        report = shown(nb.cells[exercise.check])
        assert report.startswith("✓ passed"), report


# --- the reader of notebooks, on small ones -------------------------------------------

STUB = "def double(x):\n    raise NotImplementedError"
CHECK = "from minddpm.course import checks\n\nchecks.check_double(double)"
SOLUTION = """<details><summary>Solution</summary>

Twice is once and once again.

```python
def double(x):
    return 2 * x
```

</details>"""
THINK = "> **Think.** Why?\n\n<details><summary>Answer</summary>\n\nSo.\n\n</details>"


def page(*sources: str) -> NotebookNode:
    """Make a notebook: a source that starts with < > or # is text."""
    nb = nbformat.v4.new_notebook()
    for source in sources:
        if source[0] in "<>#":
            nb.cells.append(nbformat.v4.new_markdown_cell(source))
        else:
            tags = ["exercise"] if "NotImplemented" in source or "..." in source else []
            cell = nbformat.v4.new_code_cell(source, metadata={"tags": tags})
            nb.cells.append(cell)
    return nb


def test_a_good_page_is_understood():
    nb = page("# Title", STUB, CHECK, SOLUTION, THINK, "y = ...", "# Or else", CHECK)
    number = SOLUTION.replace("def double(x):\n    return 2 * x", "y = 0.5")
    nb.cells.append(nbformat.v4.new_markdown_cell(number))
    exercises, faults = read(nb)
    assert not faults
    assert [(e.cell, e.check) for e in exercises] == [(1, 2), (5, 7)]
    assert exercises[0].solution == "def double(x):\n    return 2 * x\n"
    assert solve(nb).cells[5].source == "y = 0.5\n"
    assert nb.cells[5].source == "y = ..."


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ((STUB, SOLUTION), "not one check, close to it, but 0"),
        ((STUB, "x = 1", CHECK, SOLUTION), "not one check, close to it, but 1"),
        ((STUB, CHECK, CHECK, SOLUTION), "not one check, close to it, but 2"),
        ((STUB, CHECK + ";0", SOLUTION), "not one check, close to it, but 0"),
        ((STUB, CHECK), "not one solution"),
        ((STUB, CHECK, SOLUTION, SOLUTION), "not one solution"),
        (
            (STUB, CHECK, SOLUTION.replace("Twice", "```python\n```\nTwice")),
            "not one sol",
        ),
        ((STUB, CHECK, SOLUTION.replace("(x)", "(y)")), "the solution lacks double(x)"),
        ((STUB, CHECK, SOLUTION.replace("2 * x", "2 *")), "the solution is no Python"),
        ((STUB + "\ny = ...", CHECK, SOLUTION), "not one NotImplementedError"),
        (("x = 1", CHECK), "cell 1: a check without an exercise"),
        (("# **Think** about it.",), "cell 0: a question without an answer"),
        ((THINK.replace("So.\n", "So."),), "will not show as one"),
    ],
)
def test_a_fault_is_found(sources, fault):
    faults = read(page(*sources))[1]
    assert any(fault in text for text in faults), faults


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_wrong_solution_is_found_out(tmp_path):
    nb = nbformat.read(NOTEBOOKS[0], as_version=4)
    first = read(nb)[0][0]
    imports = "import torch"  # what the solution of notebook 00 needs
    wrong = page(imports, *(nb.cells[k].source for k in (first.cell, first.check)))
    wrong.cells[1].source = first.solution.replace("**0.5", "")
    load_build().run(wrong, tmp_path)
    assert shown(wrong.cells[2]).startswith("✗ not right yet")


# --- the table ------------------------------------------------------------------------


def main(numbers: list[str]) -> None:
    """Print a line for each notebook."""
    build = load_build()
    total = 0.0
    print(
        f"{'notebook':28} {'unsolved':>9} {'MiB':>6} {'solved':>9} {'MiB':>6}  checks"
    )
    for path in NOTEBOOKS:
        if numbers and path.name[:2] not in numbers:
            continue
        handed_out = nbformat.read(path, as_version=4)
        nb = solve(handed_out)
        before = build.run(handed_out, path.parent)
        after = build.run(nb, path.parent)
        total += before[0]
        exercises = read(nbformat.read(path, as_version=4))[0]
        passed = [shown(nb.cells[e.check]).startswith("✓") for e in exercises]
        print(
            f"{path.stem:28} {before[0]:7.1f} s {before[1]:6} {after[0]:7.1f} s "
            f"{after[1]:6}  {sum(passed)} of {len(passed)} pass"
        )
    print(f"{'all':28} {total:7.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
