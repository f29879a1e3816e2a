"""Where notebooks saved before 2027 look for the figures of chapter NN: `fNN`."""

from types import ModuleType

from minddpm.course.contents import CHAPTERS


def __getattr__(name: str) -> ModuleType:
    for chapter in CHAPTERS:
        if name == f"f{chapter.number}" and (found := chapter.module("figures")):
            return found
    raise AttributeError(f"no {name!r} here; a chapter's figures are in its own room")
