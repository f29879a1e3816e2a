"""An exercise, declared once: a right answer, what to ask it, and how people go wrong.

For example::

    def double(x: Tensor) -> Tensor:
        '''Return 2 x.'''
        return 2 * x

    Exercise(
        "Exercise 0.0: twice as much",
        double,
        lambda: [{"x": torch.randn(5)}],
        [Mistake("squared", "Two times x, or x times x?", [lambda x: x * x])],
    )

Its `check` asks a student's function and the right one the same; where they differ it
asks the *faces*, wrong functions of one mistake each, and names the mistake whose face
gives all that the student's function gave. The tests feed it the same faces. A random
answer cannot be compared number by number: its exercise brings a `judge` of its own,
which measures, and lets `explain` find the face that measures the same.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit.report import (
    Report,
    Wrong,
    accept,
    call,
    kind,
    report_on,
    show,
    z_score,
)

Answer = Callable[..., Any]
Inputs = dict[str, Any]
Results = tuple[Tensor, ...]
Case = tuple[Inputs, Results, Results]  # arguments, what they gave, what is right


@dataclass(frozen=True)
class Mistake:
    """One way to go wrong.

    Attributes:
        name: short, with underscores, such as "variance_or_std".
        hint: what to look at next; never the answer.
        faces: wrong answers that make this mistake and no other: functions called as
            the answer is, or numbers. One that returns a list stands for as many
            answers as the list is long. Each gives a result on all inputs, if only
            NaN or infinity.
        sign: recognises what no face can show number by number, such as a draw of
            one's own: sign(got, right, **inputs) is True for each case that is wrong.
    """

    name: str
    hint: str
    faces: Sequence[Any] = ()
    sign: Callable[..., bool] | None = None


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise of the course.

    Attributes:
        title: title of its reports, such as "Exercise 2.3: a jump for each sample".
        reference: a right answer: a function, whose name is that of the check and whose
            docstring says what it takes and returns; or a number.
        inputs: returns the cases: arguments by name, in their order. It may draw from
            the global generator, which the check seeds. Draw without symmetry, or wrong
            formulas agree with right ones.
        mistakes: what is known of wrong answers, the likelier first.
        name: name of the check, where the reference is a number.
        hint: for a mistake without a name.
        praise: said when it is solved.
        show: writes a result, show(result, **inputs), for the report.
        expects: what is expected, in words, where the right result would tell too much.
        tolerance: largest difference of an entry from the right one, relative where the
            right one is above 1.
        form: brings results into the form of the right ones, where several will do.
        judge: judge(exercise, answer) returns the report of a right answer and raises
            `Wrong` for others; None compares with the reference.
    """

    title: str
    reference: Any
    inputs: Callable[[], Iterable[Inputs]] = lambda: [{}]
    mistakes: Sequence[Mistake] = ()
    _: KW_ONLY
    name: str = ""
    hint: str = ""
    praise: str = ""
    show: Callable[..., Any] = lambda result, **inputs: show(result)
    expects: str = ""
    tolerance: float = 1e-4
    form: Callable[[Results], Results] = lambda results: results
    judge: Callable[["Exercise", Any], Report] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.reference.__name__)

    def check(self, answer: Any, *, seed: int = 0) -> Report:
        """Judge an answer; nothing but KeyboardInterrupt is ever raised.

        Args:
            answer: the student's function or number; `...` is "not attempted yet", and
                so is a function that raises NotImplementedError.
            seed: seed of the global generator while it is judged, so that one answer
                always gets one report; the student's random state stays as it was.

        Returns:
            The report.
        """
        gpus = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
        try:
            with torch.random.fork_rng(devices=range(gpus)):
                torch.manual_seed(seed)
                judge = self.judge or Exercise.compare
                report = judge(self, accept(answer, callable(self.reference)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            report = report_on(error)
        return replace(report, title=self.title)

    def compare(self, answer: Any) -> Report:
        """Compare an answer with the reference, case by case.

        Args:
            answer: a function or a number.

        Returns:
            The report of a right answer.

        Raises:
            Wrong: if it differs in one case or more.
        """
        rows: list[Case] = []
        wrong: list[Case] = []
        for inputs in self.inputs():
            right = results(self.reference, inputs)
            try:
                got = self.form(_asked(answer, inputs, len(right)))
            except Exception as error:
                if not wrong:
                    raise self._not_finite(error, rows, inputs) from None
                break  # what it gave before is wrong already
            rows.append((inputs, got, right))
            if self.apart(got, right) > 1:
                wrong.append(rows[-1])
        if not wrong:
            inputs, got, right = rows[0]
            again = self.form(_asked(answer, inputs, len(right)))
            if self.apart(again, right) > 1:
                said = "asked the same again, it gave another result"
                raise self.wrong(None, said, "the same result")
            texts = [self.show(_one(x), **inputs) for x in (got, right)]
            return Report(measured=texts[0], expected=texts[1], hint=self.praise)
        name = _nearest(self._distances(rows))
        for m in self.mistakes if name is None else ():
            if m.sign and all(m.sign(_one(g), _one(r), **i) for i, g, r in wrong):
                name = m.name
                break
        inputs, got, right = wrong[0]
        shapes = kind(_one(got)), kind(_one(right))
        if name is None and shapes[0] != shapes[1]:
            hint = "Look at the shape of each term: does one of them broadcast?"
            raise Wrong("wrong_shape", *shapes, hint)
        raise self.wrong(name, *self._texts(inputs, got, right))

    def apart(self, one: Results, other: Results) -> float:
        """Return how many tolerances two results are apart, at the worst entry.

        Args:
            one: what `results` returned.
            other: the same; where it is above 1, the tolerance is a share of it.

        Returns:
            Up to 1, they are the same; infinite if a shape differs.
        """
        if [x.shape for x in one] != [x.shape for x in other]:
            return math.inf
        return max(
            z_score(a, b, self.tolerance * b.abs().clamp(min=1)) if a.numel() else 0.0
            for a, b in zip(one, other, strict=True)
        )

    def explain(self, distance: Callable[[Any], float]) -> str | None:
        """Find the mistake that explains all that was measured.

        Args:
            distance: tells how far what a face gives is from what was measured, in
                units of what may be chance.

        Returns:
            The name of the mistake with the nearest face, none further than 1; or None.
        """
        return _nearest((distance(face), name) for name, face in self.faces())

    def faces(self) -> Iterator[tuple[str, Any]]:
        """Yield each face after the name of its mistake; one by one, without lists."""
        with torch.random.fork_rng(devices=[]):
            first = next(iter(self.inputs()))
        for mistake in self.mistakes:
            for face in mistake.faces:
                lists = self.judge is None or isinstance(face, _Several)
                value = _call(face, first) if lists else None
                if not isinstance(value, list):
                    yield mistake.name, face
                    continue
                for k in range(len(value)):
                    yield mistake.name, partial(_one_of, face, k)

    def _distances(self, rows: list[Case]) -> Iterator[tuple[float, str]]:
        """Yield how far each face is from all that an answer gave, and its mistake."""
        for mistake in self.mistakes:
            for face in mistake.faces:
                given = [_call(face, inputs) for inputs, _, _ in rows]
                lists = [x if isinstance(x, list) else [x] for x in given]
                for values in zip(*lists, strict=True):
                    pairs = zip(rows, values, strict=True)
                    far = (self.apart(got, _parts(x)) for (_, got, _), x in pairs)
                    yield max(far), mistake.name

    def _not_finite(
        self, error: Exception, rows: list[Case], inputs: Inputs
    ) -> Exception:
        """Name what gave NaN or infinity, if a face gives that and all before it."""
        if isinstance(error, Wrong) and error.report.mistake == "not_finite":
            for name, face in self.faces():
                agrees = (self.apart(x, results(face, i)) <= 1 for i, x, _ in rows)
                given = results(face, inputs)
                if not all(x.isfinite().all() for x in given) and all(agrees):
                    said = error.report.measured
                    return self.wrong(name, said, error.report.expected)
        return error

    def wrong(
        self,
        mistake: str | None,
        measured: Any,
        expected: Any,
        apart: float | None = None,
    ) -> Wrong:
        """Return what to raise for a mistake, with its hint.

        Args:
            mistake: its name, one of `mistakes`; None where it has none.
            measured: what the answer gave.
            expected: what a right one gives.
            apart: how many standard errors they are apart.

        Returns:
            The exception.
        """
        hints = {None: self.hint} | {m.name: m.hint for m in self.mistakes}
        return Wrong(mistake, measured, expected, hints[mistake], apart)

    def _texts(self, inputs: Inputs, got: Results, right: Results) -> tuple[Any, Any]:
        """Write a wrong and a right result so that a reader sees them differ."""
        if kind(_one(got)) != kind(_one(right)):
            return kind(_one(got)), kind(_one(right))
        measured, expected = (self.show(_one(x), **inputs) for x in (got, right))
        if self.expects or show(measured) != show(expected):
            return measured, self.expects or expected
        a, b = (torch.cat([x.flatten() for x in results]) for results in (got, right))
        worst = int((a - b).abs().argmax())
        for digits in range(4, 17):
            texts = [f"entry {worst}: {float(x[worst]):.{digits}g}" for x in (a, b)]
            if texts[0] != texts[1]:
                break
        return texts[0], texts[1]


class _Several(partial):
    """A face that returns a list, whatever judges it."""


def mistakes(
    hints: dict[str, str],
    wrong: Callable[..., dict[str, list[Any]]],
    **signs: Callable[..., bool],
) -> list[Mistake]:
    """Return mistakes whose faces are made together, by one function.

    Args:
        hints: what to look at next, by the name of the mistake; the likelier first.
        wrong: called as the answer is; returns what each mistake gives, by its name: a
            list, as long for all inputs. It may leave out what has a sign.
        **signs: of the mistakes that have one.

    Returns:
        The mistakes in the order of their hints.
    """
    asked: list[tuple[tuple[Any, ...], dict[str, list[Any]]]] = []  # the last questions

    def face(name: str, *args: Any) -> list[Any]:
        for before, made in asked:
            if all(a is b for a, b in zip(args, before, strict=True)):
                return made.get(name, [])
        asked[:] = [(args, wrong(*args)), *asked[:15]]
        return asked[0][1].get(name, [])

    return [Mistake(n, h, [_Several(face, n)], signs.get(n)) for n, h in hints.items()]


def results(answer: Any, inputs: Inputs) -> Results:
    """Return what one of our own answers gives, right or wrong.

    Args:
        answer: a function, called by position; or a number, which is its own result.
        inputs: its arguments.

    Returns:
        A tuple of float64 tensors.
    """
    return _parts(_call(answer, inputs))


def _call(answer: Any, inputs: Inputs) -> Any:
    return answer(*inputs.values()) if callable(answer) else answer


def _parts(value: Any) -> Results:
    parts = value if isinstance(value, tuple) else (value,)
    return tuple(torch.as_tensor(part).detach().double() for part in parts)


def _nearest(faces: Iterable[tuple[float, str]]) -> str | None:
    nearest: tuple[float, str | None] = math.inf, None
    for far, name in faces:
        if far < 1e-3:  # the same, to rounding: no other is asked
            return name
        nearest = min(nearest, (far, name), key=lambda face: face[0])
    return nearest[1] if nearest[0] <= 1 else None


def _asked(answer: Any, inputs: Inputs, parts: int) -> Results:
    """Return what the student's answer gives: so many sound tensors."""
    if not callable(answer):
        return results(answer, inputs)
    given = call(answer, None if parts == 1 else [None] * parts, **inputs)
    return (given,) if parts == 1 else given


def _one_of(face: Any, k: int, *args: Any) -> Any:
    return face(*args)[k]


def _one(results: Results) -> Any:
    return results[0] if len(results) == 1 else results
