"""The explorers of the notebooks: `<name>_explorer()` gives a widget.

Each lives in the room of its chapter, and is loaded when it is first asked for.
"""

from typing import Any

from minddpm.course import contents


def __dir__() -> list[str]:
    return sorted(found for found, _ in contents.all_explorers())


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name.startswith("__"):
        raise AttributeError(name)
    for found, explorer in contents.all_explorers():
        if found == name:
            return explorer
    known = ", ".join(found for found, _ in contents.all_explorers())
    raise AttributeError(f"no {name!r} here; there are {known}")
