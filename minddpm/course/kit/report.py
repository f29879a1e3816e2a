"""Reports on answers, and how an answer is asked without trusting it.

A student never meets a traceback of ours: `call` hands copies of its arguments to a
function and raises `Wrong` unless sound numbers come back, and `report_on` makes a
report of that, and of whatever else a function may raise.
"""

import html
import inspect
import math
import os
import sysconfig
import traceback
from collections.abc import Callable
from dataclasses import dataclass
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
        return verdict, colour, {k: show(v) for k, v in facts.items() if v is not None}

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
    """Raised by a check at a mistake; it carries the report.

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


def call(
    function: Callable[..., Any], shape: Shape | list[Shape], /, **inputs: Any
) -> Any:
    """Call the student's function and return its result if it is a sound tensor.

    Args:
        function: the student's function.
        shape: shape of a right result, None for any; a list of shapes, if it returns a
            tuple.
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
        raise Wrong(name, "None" if result is None else kind(result), expected)
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


def regress(y: Tensor, *terms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Write y as a weighted sum of terms by least squares.

    Args:
        y: any shape, float64.
        *terms: the same shape, or one that broadcasts with it.

    Returns:
        The weights, their standard errors, (K,) each, and what is left of y, (N,).
    """
    design = torch.stack([x.double().expand_as(y).flatten() for x in terms], dim=1)
    weights = torch.linalg.lstsq(design, y.reshape(-1, 1)).solution[:, 0]
    rest = y.flatten() - design @ weights
    variance = rest.square().sum() / max(len(rest) - len(terms), 1)
    errors = (torch.linalg.pinv(design.T @ design).diagonal() * variance).sqrt()
    return weights, errors, rest


def accept(answer: Any, is_function: bool) -> Any:
    """Return the answer if it is of the right kind.

    Args:
        answer: what was handed in.
        is_function: whether a function was asked for; else a number.

    Returns:
        The function, or the number as a float.

    Raises:
        NotImplementedError: if it is `...`, what was handed out.
        Wrong: if it is of another kind.
    """
    if answer is ...:
        raise NotImplementedError
    if not is_function:
        return float(_sound(answer, ()))
    if not callable(answer):
        hint = "Hand over the function itself, without brackets: check(function)."
        raise Wrong("not_a_function", kind(answer), "a function", hint)
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
    expected = f"a tensor of shape {show(shape)}" if shape else "a number"
    if isinstance(value, Real | np.ndarray | np.generic):
        value = torch.as_tensor(value)
    if value is None:
        hint = "Does your function end in `return …`?"
        raise Wrong("returns_nothing", "None", expected, hint)
    if not isinstance(value, Tensor) or value.is_complex():
        raise Wrong("wrong_type", kind(value), expected)
    value = value.detach().cpu().double()
    if shape is not None and (
        value.ndim != len(shape)
        or any(s not in (None, n) for s, n in zip(shape, value.shape, strict=True))
    ):
        hint = "Look at the shape of each term: does one of them broadcast?"
        raise Wrong("wrong_shape", kind(value), expected, hint)
    bad = int((~value.isfinite()).sum())
    if bad:
        measured = f"{bad} of {value.numel()} entries are NaN or infinite"
        hint = "Look for a division by 0, or the root of a negative number."
        raise Wrong("not_finite", measured, "finite numbers", hint)
    return value


def report_on(error: BaseException) -> Report:
    """Say what was raised, and where in the student's code.

    Args:
        error: whatever it is; a `Wrong` brings its report.

    Returns:
        The report, without a title.
    """
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


def kind(value: Any) -> str:
    """Describe a value in a few words.

    Args:
        value: anything.

    Returns:
        Such as "a tensor of shape (5, 2)".
    """
    if isinstance(value, Tensor | np.ndarray):
        return f"a tensor of shape {show(tuple(value.shape))}"
    if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
        return " and ".join(map(kind, value))
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a value of type {type(value).__name__}: {value!r:.40}"


def show(value: Any) -> str:
    """Write numbers short, and a size of None as "any".

    Args:
        value: text, a number, a tensor, a shape, or several tensors.

    Returns:
        The text of a report.
    """
    if isinstance(value, Tensor) and value.ndim:
        first = ", ".join(map(show, value.flatten()[:6].tolist()))
        return f"[{first}, …]" if value.numel() > 6 else f"[{first}]"
    if isinstance(value, tuple) and any(isinstance(v, Tensor) for v in value):
        return "; ".join(map(show, value))
    if isinstance(value, tuple):
        return str(value).replace("None", "any")
    value = value.item() if isinstance(value, Tensor) else value
    return f"{value:.4g}" if isinstance(value, float) else str(value)
