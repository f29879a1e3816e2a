"""Public names of core and application have complete docstrings and type hints."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rooms import ROOT


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield the public functions, classes, methods and properties of a module."""
    for name, thing in vars(module).items():
        defined = getattr(thing, "__module__", None) == module.__name__
        if name.startswith("_") or not defined:
            continue
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield name, thing
        if inspect.isclass(thing):
            for key, member in vars(thing).items():
                if isinstance(member, classmethod | staticmethod):
                    member = member.__func__
                ours = getattr(member, "__module__", None) == module.__name__
                ours = isinstance(member, property) or inspect.isfunction(member) & ours
                if ours and not key.startswith("_"):
                    yield f"{name}.{key}", member


def parameters(thing: object) -> dict[str, inspect.Parameter]:
    """Return what a caller passes, without self and cls."""
    if isinstance(thing, property):
        return {}
    found = dict(inspect.signature(thing).parameters)
    return {k: v for k, v in found.items() if k not in ("self", "cls", "_cls")}


def raises(thing: object) -> bool:
    """Tell whether a function, or a class when it is made, has a raise of its own."""
    if inspect.isclass(thing):
        makers = (vars(thing).get(name) for name in ("__init__", "__post_init__"))
        return any(raises(maker) for maker in makers if inspect.isfunction(maker))
    thing = thing.fget if isinstance(thing, property) else thing
    code = getattr(thing, "__code__", None)
    if code is None or not Path(code.co_filename).exists():  # made by dataclass
        return False
    return bool(re.search(r"^\s+raise \w", inspect.getsource(thing), re.MULTILINE))


def docstring_faults(thing: object) -> list[str]:
    """Return what a docstring lacks."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    if not doc:
        return ["no docstring"]
    faults = []
    if not doc.splitlines()[0].endswith("."):
        faults.append("the first line is not one sentence")
    if "\\" in doc:
        faults.append("a backslash, which help() shows as it is or worse")
    faults += [
        f"no entry for {name}"
        for name in parameters(thing)
        if not re.search(rf"^ +(\w+, )*\*{{0,2}}{name}(, \w+)*:", doc, re.MULTILINE)
    ]
    if raises(thing) and "\nRaises:" not in doc:
        faults.append("no Raises section")
    if inspect.isfunction(thing):
        returned = thing.__annotations__.get("return")
        said = re.search(r"^(Returns|Yields):", doc, re.MULTILINE)
        brief = not parameters(thing) and doc.startswith(("Return ", "Yield "))
        if returned is not None and not said and not brief:
            faults.append("no Returns section")
    return faults


def hint_faults(thing: object) -> list[str]:
    """Return the parameters that have no type hint, and "return"."""
    maker = thing.__init__ if inspect.isclass(thing) else thing
    maker = maker.fget if isinstance(maker, property) else maker
    if not inspect.isfunction(maker):
        return []
    signature = inspect.signature(maker)
    found = [
        name
        for name, parameter in parameters(maker).items()
        if parameter.annotation is parameter.empty
    ]
    if signature.return_annotation is signature.empty:
        found.append("return")
    return found


def test_the_reader_of_docstrings_finds_what_is_missing():
    def bare(x, *, y: int):
        return x

    def poor(x: int) -> int:
        """Do a thing"""
        raise ValueError(x)

    def good(x: int, y: int) -> int:
        """Return the larger number.

        Args:
            x, y: the numbers.

        Returns:
            One of them.

        Raises:
            ValueError: if they are equal.
        """
        if x == y:
            raise ValueError(x)
        return max(x, y)

    assert docstring_faults(bare) == ["no docstring"]
    assert hint_faults(bare) == ["x", "return"]
    assert docstring_faults(poor) == [
        "the first line is not one sentence",
        "no entry for x",
        "no Raises section",
        "no Returns section",
    ]
    assert docstring_faults(good) == hint_faults(good) == []


DOCUMENTED = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("minddpm", "minddpm/app")
    for path in sorted((ROOT / folder).glob("[a-z]*.py"))
]


@pytest.mark.parametrize("module", DOCUMENTED)
def test_public_names_have_complete_docstrings_and_hints(module):
    wrong = {}
    for name, thing in public(importlib.import_module(module)):
        faults = docstring_faults(thing)
        faults += [f"no type hint for {hint}" for hint in hint_faults(thing)]
        if faults:
            wrong[name] = faults
    assert not wrong
