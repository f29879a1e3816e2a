"""The chapters of the course: the one table that map, README, site and tests go by.

A chapter is a row here, a notebook `notebooks/NN_slug.ipynb`, a room
`minddpm/course/chNN_slug/` and a folder of tests, `tests/course/chNN_slug/`. Nothing
else names it. In its room `exercises.py` holds a list EXERCISES, `figures.py` what the
notebook draws, and `explorer.py` a function `<name>_explorer()`; each may be missing.
"""

import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

PARTS = {
    "start": "",
    "forward": "forward: add noise",
    "learn": "learn what was added",
    "back": "reverse: make data out of noise",
}
"""The parts of the course, and what the map of the course writes beside each."""


class Chapter(NamedTuple):
    """One chapter.

    Attributes:
        number: two digits.
        slug: the rest of the notebook's name.
        label: what the map of the course calls it; a line break divides it.
        part: what it belongs to there, one of `PARTS`.
        goal: what the reader can do afterwards.
        minutes: to read it, without the exercises.
        seconds: for *Run All*, on one core.
        draft: while it is written: the map shows it, README and INSTRUCTORS do not.
    """

    number: str
    slug: str
    label: str
    part: str
    goal: str
    minutes: int
    seconds: int
    draft: bool = False

    @property
    def stem(self) -> str:
        """The name of the notebook, without its ending."""
        return f"{self.number}_{self.slug}"

    @property
    def room(self) -> str:
        """The package that holds what belongs to the chapter alone."""
        return f"{__package__}.ch{self.stem}"

    def module(self, name: str) -> ModuleType | None:
        """Import a file of the room.

        Args:
            name: such as "figures".

        Returns:
            The module; None if the room has none of that name.
        """
        if importlib.util.find_spec(f"{self.room}.{name}") is None:
            return None
        return importlib.import_module(f"{self.room}.{name}")


CHAPTERS = (
    Chapter(
        "00",
        "start_here",
        "start\nhere",
        "start",
        "know what runs, the notation and how the exercises work; have sampled digits",
        minutes=8,
        seconds=19,
    ),
    Chapter(
        "01",
        "forward_chain",
        "forward\nchain",
        "forward",
        "simulate the forward Markov chain, and say where it ends",
        minutes=20,
        seconds=7,
    ),
    Chapter(
        "02",
        "closed_form",
        "closed\nform",
        "forward",
        "derive the jump to any time; choose a noise schedule",
        minutes=25,
        seconds=7,
    ),
    Chapter(
        "03",
        "best_denoiser",
        "best\ndenoiser",
        "learn",
        "compute the best denoiser by Bayes, with no network; say why the loss cannot "
        "reach 0",
        minutes=25,
        seconds=7,
    ),
    Chapter(
        "04",
        "noise_prediction_loss",
        "noise-prediction\nloss",
        "learn",
        "go from the likelihood bound to the loss that is trained",
        minutes=40,
        seconds=5,
    ),
    Chapter(
        "05",
        "training",
        "training",
        "learn",
        "train a noise predictor, and know how good it is",
        minutes=30,
        seconds=14,
    ),
    Chapter(
        "06",
        "context_dropout",
        "context\ndropout",
        "learn",
        "make one network both conditional and unconditional",
        minutes=35,
        seconds=19,
    ),
    Chapter(
        "07",
        "reverse_sampling",
        "reverse\nsampling",
        "back",
        "walk back from noise: both variances, fewer steps, and what each choice does "
        "to the result",
        minutes=40,
        seconds=13,
    ),
    Chapter(
        "08",
        "pictures",
        "pictures",
        "back",
        "put the whole system together on handwritten digits, and diagnose it",
        minutes=35,
        seconds=26,
    ),
    Chapter(
        "09",
        "guidance",
        "guidance",
        "back",
        "guide, and say what guidance does to a distribution",
        minutes=25,
        seconds=35,
    ),
)


def all_exercises() -> dict[str, Any]:
    """Return the exercises of all chapters, in their order, by the names of checks."""
    rooms = (chapter.module("exercises") for chapter in CHAPTERS)
    return {e.name: e for room in rooms if room for e in room.EXERCISES}


def all_explorers() -> Iterator[tuple[str, Any]]:
    """Yield name and function of every explorer, loading one file after another."""
    for chapter in CHAPTERS:
        room = chapter.module("explorer")
        for name in vars(room) if room else ():
            if name.endswith("_explorer"):
                yield name, getattr(room, name)
