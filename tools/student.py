"""Copy the notebooks for a class, without the solutions of the exercises.

    python tools/student.py [FOLDER]

All else stays, down to the ids of the cells and the saved outputs: stubs and
their checks, and the folded answers to questions. FOLDER is build/student,
unless given.
"""

import argparse
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from minddpm.course.contents import CHAPTERS
from minddpm.course.kit.cells import strip_solutions

ROOT = Path(__file__).resolve().parents[1]


def strip(nb: NotebookNode) -> None:
    """Take the folded solutions out, and cells that held nothing else.

    Args:
        nb: the notebook; changed in place.
    """
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = strip_solutions(cell.source)
    nb.cells = [cell for cell in nb.cells if cell.source or cell.cell_type == "code"]


def main(folder: Path) -> None:
    """Write a copy of every notebook that is no draft.

    Args:
        folder: where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished = [f"{c.stem}.ipynb" for c in CHAPTERS if not c.draft]
    for name in finished:
        nb = nbformat.read(ROOT / "notebooks" / name, as_version=4)
        strip(nb)
        nbformat.validate(nb)
        nbformat.write(nb, folder / name)
    print(f"{folder}: {len(finished)} notebooks without solutions")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    default = ROOT / "build" / "student"
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    main(parser.parse_args().folder)
