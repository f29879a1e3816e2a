"""The copies for a class: no solution is left, and everything else is."""

from pathlib import Path

import nbformat
import pytest

from minddpm.course.kit.cells import folded, strip_solutions
from rooms import FINISHED, ROOT, is_exercise, is_stub, read, tool


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> Path:
    """The folder that `make student` would write."""
    folder = tmp_path_factory.mktemp("build") / "student"
    tool("student").main(folder)
    return folder


def text_of(nb) -> str:
    return "\n\n".join(c.source for c in nb.cells if c.cell_type == "markdown")


@pytest.mark.parametrize("chapter", FINISHED, ids=lambda chapter: chapter.stem)
def test_solutions_are_gone_and_all_else_is_there(chapter, copies):
    path = ROOT / "notebooks" / f"{chapter.stem}.ipynb"
    nb = nbformat.read(path, as_version=4)
    copy = nbformat.read(copies / path.name, as_version=4)
    nbformat.validate(copy)
    exercises = read(nb)[0]
    assert exercises
    left = text_of(copy)
    assert "Solution</summary>" not in left
    for exercise in exercises:
        assert exercise.solution.partition("\n")[0] in text_of(nb)
        assert exercise.solution.strip() not in left
        head, _, body = exercise.solution.strip().partition("\n")
        assert (body or head).strip() not in left
    # every code cell, with its outputs: stubs, checks, and so all that runs
    assert [c for c in copy.cells if c.cell_type == "code"] == [
        c for c in nb.cells if c.cell_type == "code"
    ]
    stubs = [c for c in copy.cells if is_exercise(c)]
    assert len(stubs) == len(exercises)
    assert all(is_stub(c.source) for c in stubs)
    # every other text
    before = {c.id: c.source for c in nb.cells}
    for cell in copy.cells:
        if not folded(before[cell.id], "Solution"):
            assert cell.source == before[cell.id]
    for summary in ("Answer", "Answers"):
        assert folded(left, summary) == folded(text_of(nb), summary)
    gone = before.keys() - {c.id for c in copy.cells}
    assert all(before[key].startswith("<details>") for key in gone)
    assert (copy.metadata, copy.nbformat_minor) == (nb.metadata, nb.nbformat_minor)


def test_what_stands_around_a_solution_stays():
    solution = "<details><summary>Solution</summary>\n\nx\n\n</details>"
    answer = solution.replace("Solution", "Answer")
    assert strip_solutions(solution) == ""
    assert (
        strip_solutions(f"Before.\n\n{solution}\n\nAfter.") == "Before.\n\n\n\nAfter."
    )
    assert strip_solutions(f"{solution}\n\n{answer}\n\n{solution}") == answer
    assert strip_solutions(f" {answer} ") == f" {answer} "
    assert strip_solutions(answer + "\n\nSolution") == answer + "\n\nSolution"
