"""How files are written: all or nothing, and what stands in them as plain JSON."""

import contextlib
import json
import os
import reprlib
import time
from pathlib import Path
from typing import Any

from minddpm import _validate


def plain(about: dict[str, Any]) -> dict[str, Any]:
    """Return what is told about a model as plain JSON.

    Args:
        about: values by name; tensors and NumPy's numbers and arrays among them.

    Returns:
        The same, as text, numbers, lists and dictionaries.

    Raises:
        TypeError: if a value is anything else; it says which.
    """
    told = {}
    for name, value in about.items():
        try:
            text = json.dumps(value, default=lambda array: array.tolist())
        except (AttributeError, TypeError, ValueError, RecursionError):
            rule = "be text, numbers, lists and dictionaries with names"
            _validate.fail(name, rule, reprlib.repr(value), error=TypeError)
        told[name] = json.loads(text)
    return told


def replace(path: str | Path, content: bytes) -> None:
    """Write a file so that at any moment the old or the new one is whole.

    Args:
        path: the file; its folder must exist.
        content: all of it.

    Raises:
        OSError: if that is not possible; a file that was there is as it was.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on the disk before it takes the name
        _rename(unfinished, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise type(error)(
            error.errno,
            f"{error.strerror}; {path.name} is "
            + ("still the one from before" if path.exists() else "not written"),
            str(path),
        ) from None


def _rename(old: Path, new: Path) -> None:
    """Give a file another's name, and where that is refused ask again for a second.

    Windows refuses while a virus scanner or a viewer has the other one open.
    """
    for _ in range(10):
        try:
            return os.replace(old, new)
        except PermissionError:
            time.sleep(0.1)
    os.replace(old, new)
