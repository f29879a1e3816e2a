"""The explorers of the notebooks: `<name>_explorer()` gives a widget.

Each is loaded when it is first asked for.
"""

import importlib
from typing import Any

_HOMES = {  # in which file of this folder each one lives
    "schedule_explorer": "schedule",
}

__all__ = ["schedule_explorer"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"no {name!r} here; there are {', '.join(_HOMES)}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(home, name)
