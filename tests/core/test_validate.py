"""Arguments are checked by their names, wherever a name occurs."""

import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator

import pytest
import torch

import minddpm
from minddpm import _validate


@_validate.by_name
def example(T: int, eta: float = 0.5, clip_x0: float | None = None, *, lr=1.0, other=0):
    """Return what it was given."""
    return T, eta, clip_x0, lr, other


@_validate.by_name
def through(T: int, **options: float):
    return example(T, **options)


def test_what_is_right_comes_through_as_it_was_given() -> None:
    assert example(3) == (3, 0.5, None, 1.0, 0)
    assert example(3, 1, 2.0, lr=0.1, other="x") == (3, 1, 2.0, 0.1, "x")
    assert through(3, clip_x0=1.0, other=None) == (3, 0.5, 1.0, 1.0, None)


def test_a_checked_function_looks_like_itself() -> None:
    assert example.__name__ == "example"
    assert example.__doc__ == "Return what it was given."
    assert [*inspect.signature(example).parameters][:2] == ["T", "eta"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: example(0), ValueError, "T must be at least 1, got 0"),
        (lambda: example(T=0), ValueError, "T must be at least 1, got 0"),
        (lambda: example(True), TypeError, "T must be an int, got True"),
        (lambda: example(1, 1.5), ValueError, r"eta must be in \[0, 1\], got 1\.5"),
        (lambda: example(1, None), TypeError, "eta must be a number, got None"),
        (lambda: example(1, eta=math.nan), ValueError, "eta must be .*, got nan"),
        (lambda: example(1, clip_x0=-1), ValueError, "clip_x0 must be .* 0, got -1"),
        (lambda: example(1, lr=0), ValueError, "lr must be positive, got 0"),
        (lambda: through(1, lr=-2), ValueError, "lr must be positive, got -2"),
        (lambda: through(0, lr=2), ValueError, "T must be at least 1, got 0"),
        # what does not fit the signature is said as Python says it
        (lambda: example(), TypeError, r"example\(\) missing 1 required .* 'T'"),
        (lambda: example(1, 1, 1, 1), TypeError, r"example\(\) takes from 1 to 3"),
        (lambda: example(1, T=1), TypeError, r"example\(\) got multiple values .* 'T'"),
        (lambda: example(1, n=1), TypeError, r"example\(\) got an unexpected .* 'n'"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(call, error, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def checked() -> Iterator[Callable]:
    """All functions of the core whose arguments are checked by their names."""
    code = example.__code__
    for module in pkgutil.iter_modules(minddpm.__path__):
        if module.ispkg or module.name == "__main__":
            continue
        content = vars(__import__(f"minddpm.{module.name}", fromlist=["x"]))
        for value in content.values():
            inside = vars(value).values() if inspect.isclass(value) else [value]
            for function in inside:
                function = getattr(function, "__func__", function)  # a classmethod's
                while inspect.isfunction(function):
                    if function.__code__ is code:
                        yield function
                    function = getattr(function, "__wrapped__", None)


def test_every_rule_is_of_an_argument_and_every_default_keeps_it() -> None:
    met = set(vars(minddpm.TrainConfig()))  # it checks its own
    for function in checked():
        for name, parameter in inspect.signature(function).parameters.items():
            met.add(name)
            if parameter.default is not inspect.Parameter.empty:
                _validate.named(name, parameter.default)
    assert {"T", "betas", "n_sample", "eta", "denoiser", "null_label"} <= met
    assert _validate.RULES.keys() - met == set()
    assert set(_validate._OPTIONAL) <= _validate.RULES.keys()


def test_names_without_a_rule_and_optional_ones_pass() -> None:
    marker = object()
    assert _validate.named("anything", marker) is marker
    for name in _validate._OPTIONAL:
        assert _validate.named(name, None) is None
    for name in _validate.RULES.keys() - set(_validate._OPTIONAL):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be "):
            _validate.named(name, None)


@pytest.mark.parametrize("name", _validate.RULES)
def test_every_rule_names_argument_and_value(name: str) -> None:
    """Whatever the rule, a complex number keeps none."""
    with pytest.raises((TypeError, ValueError), match=rf"^{name} must be .* got .*\w"):
        _validate.named(name, torch.tensor(1j))
