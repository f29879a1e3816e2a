"""What tests share: the repository's places, its chapters, and what stands in them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from minddpm.course.contents import CHAPTERS, Chapter

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = [ROOT / "notebooks" / f"{chapter.stem}.ipynb" for chapter in CHAPTERS]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def load(path: Path) -> ModuleType:
    """Import a file that is in no package, such as a script of tools/."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(chapter: Chapter) -> ModuleType:
    """Return the answers to its exercises that are no faces."""
    return load(ROOT / "tests" / "course" / f"ch{chapter.stem}" / "answers.py")
