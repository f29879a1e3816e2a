"""Checks of arguments, so that every error names the argument, its value and the rule.

A function under `by_name` has its arguments checked by their names: RULES says what a
`beta_1` or an `eta` must be, wherever it occurs. The others are called where they are
needed. Checks of *values* inside tensors are made on CPU tensors only: on an
accelerator they would wait for the device.
"""

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, NoReturn, ParamSpec, TypeAlias, TypeVar

import torch
from torch import Tensor

Times: TypeAlias = int | Tensor  # one time for all samples, or (B,) int64
Labels: TypeAlias = Tensor | None  # (B,) int64; None is "no label"
Kind = TypeVar("Kind")
Given = ParamSpec("Given")


def fail(
    name: str, rule: str, got: Any, cure: str = "", error: type[Exception] = ValueError
) -> NoReturn:
    """Raise an error that says what an argument must be, and what it is.

    Raises:
        Exception: of the kind that `error` says.
    """
    raise error(f"{name} must {rule}, got {got}" + (cure and f"; {cure}"))


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return `value` as an int in low…high; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        fail(name, "be an int", repr(value), error=TypeError)
    if int(value) < low or (high is not None and int(value) > high):
        rule = f"be at least {low}" if high is None else f"be in {low}…{high}"
        fail(name, rule, value)
    return int(value)


def real(name: str, value: Any, low: float, high: float) -> float:
    """Return `value` as a finite float in [low, high]; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        fail(name, "be a number", repr(value), error=TypeError)
    if not low <= float(value) <= high or math.isinf(value):
        least = "" if math.isinf(low) else f" and at least {low:g}"
        rule = f"finite{least}" if math.isinf(high) else f"in [{low:g}, {high:g}]"
        fail(name, f"be {rule}", value)
    return float(value)


def positive(name: str, value: Any, below: float = math.inf) -> None:
    """Refuse what is not a finite float in (0, below)."""
    if not 0 < real(name, value, -math.inf, math.inf) < below:
        rule = "be positive" if math.isinf(below) else f"be in (0, {below:g})"
        fail(name, rule, value)


def share(name: str, value: Any) -> None:
    """Refuse what is not in [0, 1): at 1 nothing is ever learned."""
    if real(name, value, 0.0, 1.0) == 1:
        fail(name, "be in [0, 1)", value)


def choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return `value` if it is one of the known names."""
    if value not in (known := list(known)):
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    return value


def instance(name: str, value: Any, cls: type[Kind], cure: str = "") -> Kind:
    """Return `value` if it is an instance of the class."""
    if not isinstance(value, cls):
        got = type(value).__name__ + cure
        fail(name, f"be a {cls.__name__}", got, error=TypeError)
    return value


def like(name: str, value: Any, kind: str, attribute: str, cure: str = "") -> None:
    """Refuse what has not the attribute by which a class of a higher file is known."""
    if not hasattr(value, attribute):
        fail(name, f"be a {kind}", type(value).__name__, cure, TypeError)


def pair(name: str, value: Any) -> None:
    """Refuse what is no pair of betas."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        cure = "for a table of betas pass schedule=Schedule.from_betas(…)"
        fail(name, "be the pair (beta_1, beta_T)", repr(value), cure)


def floats(name: str, value: Any, shape: Sequence[int | None] | None = None) -> Tensor:
    """Return `value` if it is a tensor of floats; None in `shape` is any size."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        cure = f"convert it with torch.as_tensor({name}).float()"
        if (got := _kind(value)) == torch.uint8:
            cure = f"{name} / 127.5 - 1 makes 0…255 one in [−1, 1]"
        fail(name, "be a float tensor", got, cure, TypeError)
    if shape is not None and (
        value.ndim != len(shape)
        or any(s not in (None, n) for s, n in zip(shape, value.shape, strict=True))
    ):
        rule = str(tuple("any" if s is None else s for s in shape)).replace("'", "")
        fail(name, f"have shape {rule}", tuple(value.shape))
    return value


def _kind(value: Any) -> Any:
    return value.dtype if isinstance(value, Tensor) else type(value).__name__


def batch(name: str, value: Any, device: torch.device | None = None) -> int:
    """Return the number of samples in floats (B, *D), on the model's device."""
    if floats(name, value).ndim == 0 or 0 in value.shape:
        got = tuple(value.shape) or "a single number"
        fail(name, "have shape (B, *D), none of them 0", got)
    _on(name, value, device)
    return value.shape[0]


def samples(name: str, value: Tensor) -> Tensor:
    """Return `value` if it is floats (N, *D), at least one sample, all finite."""
    batch(name, value)
    refuse(name, value, ~value.isfinite(), "be finite: clean the data first")
    return value


def refuse(name: str, value: Tensor, wrong: Tensor, rule: str) -> None:
    """Raise if a number in `value` is wrong, where they can be looked at."""
    if readable(wrong) and wrong.any():
        fail(name, rule, f"{value[wrong][0]:g}")


def readable(value: Tensor) -> bool:
    """Return whether to look at numbers: not where that waits for an accelerator.

    Nor where there are none yet: when PyTorch compiles, exports, traces or vectorises.
    """
    if torch.compiler.is_compiling() or torch._C._get_tracing_state():
        return False
    vectorised = torch._C._are_functorch_transforms_active()
    return value.device.type == "cpu" and not vectorised


def _on(name: str, value: Tensor, device: torch.device | None) -> None:
    if device is not None and value.device != device:
        cure = f"move it there with {name}.to(ddpm.device)"
        fail(name, f"be on the model's device, {device}", value.device, cure)


def labels(
    name: str, value: Any, n: int, n_classes: int = 0,
    device: torch.device | None = None,
) -> Tensor:  # fmt: skip
    """Return `value` if it holds n class labels, int64, in 0…n_classes−1."""
    if (got := _kind(value)) != torch.int64:
        cure = "convert it with torch.as_tensor(…).long()"
        fail(name, "be an int64 tensor of class labels", got, cure, TypeError)
    if value.shape != (n,):
        fail(name, f"have shape ({n},), one label a sample", tuple(value.shape))
    if n_classes:
        rule = f"be in 0…{n_classes - 1} for n_classes = {n_classes}"
        _within(name, value, 0, n_classes - 1, rule)
    _on(name, value, device)
    return value


def times(
    t: Any, n: int, T: int, low: int = 1, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the time(s) `t` as an (n,) int64 tensor, one for each sample."""
    if not isinstance(t, Tensor):
        return torch.full((n,), integer("t", t, low, T), device=device)
    if t.dtype != torch.int64:
        cure = f"times count steps, {low}…{T}: convert with t.long()"
        fail("t", "be an int or an int64 tensor", t.dtype, cure, TypeError)
    if t.shape not in ((), (n,)):
        fail("t", f"have shape ({n},), one time a sample", tuple(t.shape))
    _within("t", t, low, T, f"be in {low}…{T}", "times count from 1, as in the paper")
    return t.expand(n).to(device)


def _within(
    name: str, value: Tensor, low: int, high: int, rule: str, cure: str = ""
) -> None:
    if readable(value) and value.numel():
        least, most = map(int, value.aminmax())
        if least < low or most > high:
            fail(name, rule, least if least < low else most, cure)


def spread(name: str, value: Any, n: int) -> Tensor:
    """Return one number for each of n samples, from n of them or one for all."""
    flat = instance(name, value, Tensor).reshape(-1)
    if flat.shape[0] not in (1, n):
        fail(name, f"hold 1 or {n} numbers", tuple(value.shape))
    return flat.expand(n)


def guided(w: float, c: Labels) -> None:
    """Refuse guidance towards labels that there are not."""
    if w and c is None:
        raise ValueError(f"w must be 0 without labels, got {w}; pass the labels c")


def falling(name: str, value: Sequence[Any], T: int) -> list[int]:
    """Return `value` as a list of times that fall from T to 1 or more."""
    times = [integer(f"each of {name}", t, 1, T) for t in value]
    if times[:1] != [T] or any(s >= t for t, s in pairwise(times)):
        cure = "0, where the walk ends, is not one of them"
        fail(name, f"be times that fall from T = {T} to 1 or more", value, cure)
    return times


_CURE = "Schedule.from_betas(…) makes one from a table"
_OPTIONAL = ("clip_x0", "max_seconds", "schedule", "generator")  # None passes
_COUNTS = ("T", "n_T", "n_sample", "batch_size", "dim", "n_layers", "in_channels")
RULES: dict[str, tuple[Any, ...]] = {  # of an argument: a check, and its limits
    **dict.fromkeys((*_COUNTS, "patch", "middle"), (integer, 1)),
    **dict.fromkeys(("warmup", "seed", "n_classes"), (integer, 0)),
    **dict.fromkeys(("s", "beta_1", "beta_T", "clip_x0"), (real, 0.0, math.inf)),
    **dict.fromkeys(("eta", "drop_prob"), (real, 0.0, 1.0)),
    **dict.fromkeys(("tau", "lr", "grad_clip", "max_seconds"), (positive,)),
    **dict.fromkeys(("decay", "ema_decay"), (share,)),
    "max_beta": (positive, 1.0),
    "shift": (real, 1.0, math.inf),
    **dict.fromkeys(("w", "guide_w", "start", "end"), (real, -math.inf, math.inf)),
    "null_label": (choice, ("learned", "zero")),
    "variance": (choice, ("posterior", "beta")),
    "prediction": (choice, ("eps", "x0", "v")),
    "ddpm": (like, "DDPM", "predict_eps"),
    "schedule": (like, "Schedule", "posterior_variances", _CURE),
    "denoiser": (like, "GaussianMixture", "log_prob", "a network's loss is no floor"),
    "generator": (instance, torch.Generator, "; torch.Generator() makes one"),
    "betas": (pair,),
}


def named(name: str, value: Any) -> Any:
    """Return an argument, once checked by the rule that its name has, if any."""
    if name in RULES and (value is not None or name not in _OPTIONAL):
        check, *limits = RULES[name]
        check(name, value, *limits)
    return value


def by_name(function: Callable[Given, Kind]) -> Callable[Given, Kind]:
    """Check every argument whose name has a rule, when the function is called.

    Not for what is compiled or called in a hot loop. Arguments in **options count, too.
    A call that does not fit the signature is left to Python, which says so best.
    """
    names = inspect.signature(function).parameters

    @functools.wraps(function)
    def checked(*args: Given.args, **kwargs: Given.kwargs) -> Kind:
        for name, value in (dict(zip(names, args, strict=False)) | kwargs).items():
            named(name, value)
        return function(*args, **kwargs)

    return checked
