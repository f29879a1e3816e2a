"""Checks of arguments, so that every error names the argument, its value and the rule.

Each function returns the value it was given, so that a check fits into an assignment.
Checks of *values* inside tensors are made on CPU tensors only: on an accelerator they
would wait for the device.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, TypeVar

import torch
from torch import Tensor

Kind = TypeVar("Kind")


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return `value` as an int in low…high.

    Raises:
        TypeError: if it is no whole number (a bool is none).
        ValueError: if it is outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, got {value!r}")
    number = int(value)
    if number < low or (high is not None and number > high):
        rule = f"at least {low}" if high is None else f"in {low}…{high}"
        raise ValueError(f"{name} must be {rule}, got {number}")
    return number


def real(name: str, value: Any, low: float, high: float) -> float:
    """Return `value` as a finite float in [low, high].

    Raises:
        TypeError: if it is no real number (a bool is none).
        ValueError: if it is outside the range or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not low <= number <= high or abs(number) == float("inf"):
        rule = {
            (0.0, float("inf")): "finite and at least 0",
            (-float("inf"), float("inf")): "finite",
        }.get((low, high), f"in [{low:g}, {high:g}]")
        raise ValueError(f"{name} must be {rule}, got {value}")
    return number


def choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return `value` if it is one of the known names.

    Raises:
        ValueError: if it is not; the message lists the known names.
    """
    known = list(known)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    return value


def instance(name: str, value: Any, cls: type[Kind], cure: str = "") -> Kind:
    """Return `value` if it is an instance of the class.

    Raises:
        TypeError: if it is not.
    """
    if not isinstance(value, cls):
        raise TypeError(
            f"{name} must be a {cls.__name__}, got {type(value).__name__}{cure}"
        )
    return value


def floats(
    name: str, value: Any, shape: tuple[int | None, ...] | None = None
) -> Tensor:
    """Return `value` if it is a tensor of floats; None in `shape` is any size.

    Raises:
        TypeError: if it is no tensor, or not of a floating dtype.
        ValueError: if it has another shape.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a float tensor, got {type(value).__name__}; "
            "convert it with torch.as_tensor(…, dtype=torch.float32)"
        )
    if not value.is_floating_point():
        raise TypeError(
            f"{name} must be a float tensor, got {value.dtype}; "
            f"convert it with {name}.float()"
        )
    if shape is not None and (
        value.ndim != len(shape)
        or any(s not in (None, n) for s, n in zip(shape, value.shape, strict=True))
    ):
        rule = str(tuple("any" if s is None else s for s in shape)).replace("'", "")
        raise ValueError(f"{name} must have shape {rule}, got {tuple(value.shape)}")
    return value


def on_device(name: str, value: Tensor, device: torch.device) -> Tensor:
    """Return `value` if it is on the model's device.

    Raises:
        ValueError: if it is not.
    """
    if value.device != device:
        raise ValueError(
            f"{name} must be on the model's device, {device}, got {value.device}; "
            f"move it there with {name}.to(ddpm.device)"
        )
    return value


def labels(name: str, value: Any, n: int, n_classes: int | None = None) -> Tensor:
    """Return `value` if it holds n class labels, int64, in 0…n_classes−1.

    Raises:
        TypeError: if it is no int64 tensor.
        ValueError: if the shape is not (n,), or (CPU only) a label is out of range.
    """
    if not isinstance(value, Tensor) or value.dtype != torch.int64:
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(
            f"{name} must be an int64 tensor of class labels, got {got}; "
            "convert it with torch.as_tensor(…).long()"
        )
    if value.shape != (n,):
        raise ValueError(
            f"{name} must have shape ({n},), one label a sample, "
            f"got {tuple(value.shape)}"
        )
    if n_classes and value.device.type == "cpu" and n:
        low, high = int(value.min()), int(value.max())
        if low < 0 or high >= n_classes:
            raise ValueError(
                f"{name} must be in 0…{n_classes - 1} for n_classes = {n_classes}, "
                f"got {low if low < 0 else high}"
            )
    return value


def times(
    t: Any, n: int, T: int, low: int = 1, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the time(s) `t` as an (n,) int64 tensor on `device`, one for each sample.

    Raises:
        TypeError: if `t` is neither an int nor an int64 tensor.
        ValueError: if the shape is neither () nor (n,), or (for an int or on the CPU)
            a time is outside low…T.
    """
    if not isinstance(t, Tensor):
        return torch.full((n,), integer("t", t, low, T), device=device)
    if t.dtype != torch.int64:
        raise TypeError(
            f"t must be an int or an int64 tensor, got {t.dtype}; "
            f"times count steps, {low}…{T}: convert with t.long()"
        )
    if t.shape not in ((), (n,)):
        raise ValueError(
            f"t must have shape ({n},), one time a sample, got {tuple(t.shape)}"
        )
    if t.device.type == "cpu" and t.numel():
        first, last = int(t.min()), int(t.max())
        if first < low or last > T:
            raise ValueError(
                f"t must be in {low}…{T}, got {first if first < low else last}; "
                "times count from 1, as in the paper"
            )
    return t.expand(n).to(device)


def falling(name: str, value: Sequence[Any], T: int) -> list[int]:
    """Return `value` as a list of times that fall from T to 1 or more.

    Raises:
        TypeError: if one of them is no int.
        ValueError: if one is not in 1…T, the first is not T, or one does not fall.
    """
    times = [integer(f"each of {name}", t, 1, T) for t in value]
    if times[:1] != [T] or any(s >= t for t, s in pairwise(times)):
        raise ValueError(
            f"{name} must be times that fall from T = {T} to 1 or more, got {value}; "
            "0, where the walk ends, is not one of them"
        )
    return times
