"""Reports on exercises, and the machinery to write their checks with.

A check is a function under `@check`. It calls the student's function with `call`,
raises `Wrong` at the first mistake and returns a `Report` at the end. Whatever else
happens inside it becomes a report too: a student never meets a traceback of ours.

    @check("Exercise 1.1: one step")
    def check_q_step(function: Callable[..., Any]) -> Report:
        x_t = call(function, (5, 2), x_s=torch.randn(5, 2), t=3)
        if not torch.allclose(x_t, right):
            raise Wrong("variance_or_std", x_t, right, "Which of the two is β?")
        return Report(measured=x_t, expected=right)
"""

import functools
import html
import inspect
import math
import os
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Shape = tuple[int | None, ...] | None  # None: any size, or any shape at all

_FOLDERS = (Path(__file__).parents[2], Path(torch.__file__).parents[1])
_LIBRARIES = (  # where code lies that is not the student's
    "<frozen ",
    *(f"{f}{os.sep}" for f in (*_FOLDERS, sysconfig.get_paths()["stdlib"])),
)


@dataclass(frozen=True, repr=False, eq=False)
class Report:
    """What a check found; shows itself as text, and as HTML in a notebook.

    Attributes:
        title: which exercise, such as "Exercise 0.1: mix signal and noise".
        attempted: False while the exercise is as it was handed out.
        passed: whether the answer is right.
        mistake: short name of the mistake, such as "variance_or_std"; None if there is
            none, or none that we know.
        measured: what the answer gave: a sentence, a number or a tensor.
        expected: what a right one gives.
        standard_errors: how many of them `measured` and `expected` are apart; None
            where nothing was random.
        hint: what to look at next; never the answer.
    """

    title: str = ""
    attempted: bool = True
    passed: bool = True
    mistake: str | None = None
    measured: Any = None
    expected: Any = None
    standard_errors: float | None = None
    hint: str = ""

    def _parts(self) -> tuple[str, str, dict[str, str]]:
        """Return the verdict, the colour behind it, and the facts by name."""
        verdict, colour = "✗ not right yet", "#b3261e"
        if self.passed:
            verdict, colour = "✓ passed", "#1a7f45"
        elif not self.attempted:
            verdict, colour = "○ not attempted yet", "#5f6368"
        apart = self.standard_errors
        facts = {
            "mistake": self.mistake and self.mistake.replace("_", " "),
            "measured": self.measured,
            "expected": self.expected,
            "apart": None if apart is None else f"{apart:.3g} standard errors",
            "hint": self.hint or None,
        }
        return verdict, colour, {k: _show(v) for k, v in facts.items() if v is not None}

    def __str__(self) -> str:
        verdict, _, facts = self._parts()
        return "\n  ".join(
            [f"{verdict} · {self.title}", *(f"{k:<8}  {v}" for k, v in facts.items())]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # a colour only where it brings its own background: any theme may be around
        verdict, colour, facts = self._parts()
        rows = (f"<b>{k}</b><span>{html.escape(v)}</span>" for k, v in facts.items())
        return (
            f'<div style="border-left: 4px solid {colour}; padding: 2px 12px">'
            f'<span style="background: {colour}; color: white; padding: 1px 8px; '
            f'border-radius: 4px">{verdict}</span> <b>{html.escape(self.title)}</b>'
            '<div style="display: grid; grid-template-columns: max-content auto; '
            f'gap: 2px 12px; white-space: pre-wrap">{"".join(rows)}</div></div>'
        )


class Wrong(Exception):
    """Raised by a check at a mistake; `@check` makes a report of it.

    Args:
        mistake: short name of the mistake; None if it is none that we know.
        measured: what the answer gave, as in `Report`.
        expected: what a right one gives.
        hint: what to look at next.
        standard_errors: how many of them the two are apart.
    """

    def __init__(
        self,
        mistake: str | None,
        measured: Any = None,
        expected: Any = None,
        hint: str = "",
        standard_errors: float | None = None,
    ) -> None:
        super().__init__(mistake)
        self.report = Report(
            "", True, False, mistake, measured, expected, standard_errors, hint
        )


def check(
    title: str, *, number: bool = False
) -> Callable[[Callable[[Any], Report]], Callable[..., Report]]:
    """Turn a judging function into a check that never raises.

    The check takes the student's answer, and `seed=0` for the global generator, so
    that one answer always gets one report; the student's random state stays as it was.
    An answer `...` is "not attempted yet", and so is a function that raises
    NotImplementedError. KeyboardInterrupt alone goes through.

    Args:
        title: title of the report.
        number: the answer is a finite number, handed on as a float; else a function.

    Returns:
        The decorator.
    """

    def decorate(judge: Callable[[Any], Report]) -> Callable[..., Report]:
        @functools.wraps(judge)
        def checked(answer: Any, *, seed: int = 0) -> Report:
            gpus = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
            try:
                with torch.random.fork_rng(devices=range(gpus)):
                    torch.manual_seed(seed)
                    return replace(judge(_accept(answer, number)), title=title)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                return replace(_report_on(error), title=title)

        return checked

    return decorate


def call(
    function: Callable[..., Any], shape: Shape | list[Shape], /, **inputs: Any
) -> Any:
    """Call the student's function and return its result if it is a sound tensor.

    Args:
        function: the student's function.
        shape: shape of a right result; a list of shapes, if it returns a tuple.
        **inputs: its arguments in order, passed by position (or by name, if it takes
            them by name only). Tensors are passed as copies.

    Returns:
        The result as a float64 tensor on the CPU, without gradient, also if it was a
        number or an array; or the tuple of such results.

    Raises:
        Wrong: if the function takes other arguments, changes one in place, or returns
            something else than tensors of that shape without NaN or infinity.
    """
    copies = {k: v.clone() if isinstance(v, Tensor) else v for k, v in inputs.items()}
    if _fits(function, *copies.values()):
        result = function(*copies.values())
    elif _fits(function, **copies):
        result = function(**copies)
    else:
        measured = f"your function takes {inspect.signature(function)}"
        expected = f"it takes ({', '.join(inputs)})"
        hint = "Keep the first line of the exercise as it was."
        raise Wrong("wrong_arguments", measured, expected, hint)
    for name, value in inputs.items():
        if isinstance(value, Tensor) and not torch.equal(copies[name], value):
            measured = f"your function changed {name} in place"
            expected = f"{name} as it was: its owner may still need it"
            hint = "*=, += and .mul_() write into a tensor that exists; make a new one."
            raise Wrong("changes_its_input", measured, expected, hint)
    if not isinstance(shape, list):
        return _sound(result, shape)
    if not isinstance(result, tuple | list) or len(result) != len(shape):
        expected = f"{len(shape)} results, as in `return a, b`"
        name = "returns_nothing" if result is None else "wrong_type"
        raise Wrong(name, "None" if result is None else _kind(result), expected)
    return tuple(_sound(r, s) for r, s in zip(result, shape, strict=True))


def z_score(
    measured: Tensor | float, expected: Tensor | float, standard_error: Tensor | float
) -> float:
    """Return how many standard errors two values are apart, at the worst entry.

    Args:
        measured: a number or a tensor.
        expected: the same, of a shape that broadcasts with it.
        standard_error: the same, at least 0; 0 demands equality.

    Returns:
        max |measured − expected| / standard_error; infinite if anything is NaN.

    >>> z_score(1.25, 1.0, 0.125)
    2.0
    """
    m, e, se = (
        torch.as_tensor(value).double()
        for value in (measured, expected, standard_error)
    )
    z = torch.where(m == e, 0.0, (m - e).abs() / se)
    return float(z.nan_to_num(math.inf, math.inf).max())


def name_mistake(
    measured: Tensor | float, candidates: Mapping[str, Any], tolerance: float = 1e-4
) -> str | None:
    """Return the name of the known mistake that gives exactly this number.

    Args:
        measured: a number or a tensor.
        candidates: what each known mistake gives, by its name: a number or a tensor
            like `measured`, or a list of them for a mistake with several faces.
        tolerance: largest difference in any entry, absolute; for a statistic, a few
            standard errors.

    Returns:
        The name of the nearest candidate within the tolerance, or None.

    >>> name_mistake(0.36, {"no_root": 0.36, "squared": [0.13, 0.87]})
    'no_root'
    """
    distances = {
        z_score(measured, candidate, 1.0): name
        for name, given in candidates.items()
        for candidate in (given if isinstance(given, list) else [given])
    }
    nearest = min(distances, default=math.inf)
    return distances[nearest] if nearest <= tolerance else None


def _accept(answer: Any, number: bool) -> Any:
    """Return the answer if it is of the right kind."""
    if answer is ...:
        raise NotImplementedError
    if number:
        return float(_sound(answer, ()))
    if not callable(answer):
        hint = "Hand over the function itself, without brackets: check(function)."
        raise Wrong("not_a_function", _kind(answer), "a function", hint)
    return answer


def _fits(function: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    """Return whether the function takes these arguments, or does not say."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # a builtin
        return True
    return True


def _sound(value: Any, shape: Shape) -> Tensor:
    """Return the value as a float64 tensor if it is finite and of that shape."""
    expected = f"a tensor of shape {_show(shape)}" if shape else "a number"
    if isinstance(value, Real | np.ndarray | np.generic):
        value = torch.as_tensor(value)
    if value is None:
        hint = "Does your function end in `return …`?"
        raise Wrong("returns_nothing", "None", expected, hint)
    if not isinstance(value, Tensor) or value.is_complex():
        raise Wrong("wrong_type", _kind(value), expected)
    value = value.detach().cpu().double()
    if shape is not None and (
        value.ndim != len(shape)
        or any(s not in (None, n) for s, n in zip(shape, value.shape, strict=True))
    ):
        hint = "Look at the shape of each term: does one of them broadcast?"
        raise Wrong("wrong_shape", _kind(value), expected, hint)
    bad = int((~value.isfinite()).sum())
    if bad:
        measured = f"{bad} of {value.numel()} entries are NaN or infinite"
        hint = "Look for a division by 0, or the root of a negative number."
        raise Wrong("not_finite", measured, "finite numbers", hint)
    return value


def _report_on(error: BaseException) -> Report:
    """Say what was raised, and where in the student's code."""
    if isinstance(error, Wrong):
        return error.report
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_LIBRARIES)][-1:]
    line = (own[0].line or "") if own else ""
    try:
        message = str(error).strip().partition("\n")[0]
    except Exception:
        message = ""
    # PyTorch raises this class too, when an operation does not know a dtype
    if isinstance(error, NotImplementedError) and not (message and line[:5] != "raise"):
        hint = "Write your answer in place of the last line, then run both cells."
        return Report(attempted=False, passed=False, hint=hint)
    measured = f"{type(error).__name__}{': ' if message else ''}{message}"
    if own:
        measured += f", at line {own[0].lineno} in {own[0].name}: {line}"
    if isinstance(error, SystemExit):
        hint = "Your function should return, not end the program."
        return Report("", True, False, "exits", measured, "a result", None, hint)
    hint = "Call your function in a cell of its own to see the whole story."
    return Report("", True, False, "raises", measured, "a result", None, hint)


def _kind(value: Any) -> str:
    """Describe a value in a few words."""
    if isinstance(value, Tensor | np.ndarray):
        return f"a tensor of shape {_show(tuple(value.shape))}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a value of type {type(value).__name__}: {value!r:.40}"


def _show(value: Any) -> str:
    """Write numbers short, and a size of None as "any"."""
    if isinstance(value, Tensor) and value.ndim:
        first = ", ".join(map(_show, value.flatten()[:6].tolist()))
        return f"[{first}, …]" if value.numel() > 6 else f"[{first}]"
    if isinstance(value, tuple):
        return str(value).replace("None", "any")
    value = value.item() if isinstance(value, Tensor) else value
    return f"{value:.4g}" if isinstance(value, float) else str(value)
