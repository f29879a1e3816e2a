"""The exercises: each has a check and a solution, and the solution passes the check.

    python tests/course/test_solutions.py [00 …]

prints seconds and memory of every notebook, as it is handed out and as it is solved.
How an exercise is told from the rest of a notebook: see tests/rooms.py.
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # pytest does so by its settings
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nbformat
import pytest
from nbformat import NotebookNode

from rooms import (
    FINISHED,
    NOTEBOOKS,
    calls_check,
    each_notebook,
    read,
    shown,
    solve,
    tool,
    touched,
)

# --- the tests ------------------------------------------------------------------------


@each_notebook
def test_every_exercise_has_a_check_and_a_solution(path):
    exercises, faults = read(nbformat.read(path, as_version=4))
    assert not faults
    full = path.stem in [chapter.stem for chapter in FINISHED[1:]]
    assert len(exercises) >= (3 if full else 1)


@pytest.fixture(scope="module")
def solved() -> NotebookNode:
    """Run what the answers of a chapter reach, after that of another: one kernel."""
    nb = nbformat.v4.new_notebook()
    for path in NOTEBOOKS:
        nb.cells += touched(nbformat.read(path, as_version=4)).cells
        nb.cells.append(nbformat.v4.new_code_cell("%reset -f"))
    tool("build").run(nb, NOTEBOOKS[0].parent)
    return nb


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's client's are not ours to mend
def test_solved_they_pass_every_check(solved):
    assert not list(tool("build").faults(solved))
    reports = [shown(cell) for cell in solved.cells if calls_check(cell)]
    failed = [report for report in reports if not report.startswith("✓ passed")]
    assert not failed
    asked = [len(read(nbformat.read(path, as_version=4))[0]) for path in NOTEBOOKS]
    assert len(reports) == sum(asked)


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


def test_what_an_answer_reaches_is_kept_and_the_rest_is_left_out():
    before = "import torch\n\nbase = 2\nother = 3"
    uses = "y = double(base)", "torch.tensor([y])"
    page_of = page("slow = 1", before, STUB, CHECK, SOLUTION, "slow + other", *uses)
    kept = [bool(cell.source) for cell in touched(page_of).cells]
    assert kept == [False, True, True, True, True, False, True, True]


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
    tool("build").run(wrong, tmp_path)
    assert shown(wrong.cells[2]).startswith("✗ not right yet")


# --- the table ------------------------------------------------------------------------


def main(numbers: list[str]) -> None:
    """Print a line for each notebook."""
    build = tool("build")
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
