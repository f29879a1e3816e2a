"""The exercises of notebook 08: pixels both ways; those on training are beside it."""

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch08_pictures import exercises_training as training
from minddpm.course.kit.exercise import Answer, Exercise, Inputs, Results, mistakes
from minddpm.course.kit.report import Report, show


def normalise(pixels: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """x_0 = p / 127.5 − 1 and p = round(127.5 (clamp(x, −1, 1) + 1)).

    Args:
        pixels: (B, C, H, W) uint8.
        x: (M, C, H, W) float that may lie beyond [−1, 1].

    Returns:
        The pixels as floats in [−1, 1], and x as uint8.
    """
    grey = 127.5 * (x.double().clamp(-1, 1) + 1)
    return pixels.double() / 127.5 - 1, grey.round().to(torch.uint8)


@functools.lru_cache(maxsize=8)
def _wrong_ways(pixels: Tensor, x: Tensor) -> training.Wrongs:
    (x0, picture), p, x = normalise(pixels, x), pixels.double(), x.double()
    grey, cut = 127.5 * (x + 1), x.clamp(-1, 1)
    own = []  # whole batch, and picture by picture
    for axes in ((0, 1, 2, 3), (1, 2, 3)):
        low, high = p.amin(axes, True), p.amax(axes, True)
        own += [(p - p.mean(axes, True)) / p.std(axes, keepdim=True)]
        own += [
            k * s + 1 - k for s in ((p - low) / (high - low), p / high) for k in (1, 2)
        ]

    def whole(*levels: Tensor) -> list[Tensor]:
        return [y for level in levels for y in (level.round(), level.floor())]

    made = training.pairs(
        (x0, picture.double()),
        {
            "range_01": [p / 255, p / 256],
            "divided_by_256": [p / 128 - 1, (p - 127) / 128],
            "own_range": own,
            "overflow": [
                *((pixels * 2).double() / k - 1 for k in (255, 256)),
                *((pixels - k).double() / k for k in (127, 128)),
            ],
            "wrong_sign": [-x0],
            "unscaled_data": [p, p - 127.5, p - 128],
            "truncated": [x0.floor(), x0.trunc(), (p / 255).floor() * 2 - 1],
        },
        {
            "range_01": whole(x.clamp(0, 1) * 255),
            "divided_by_256": whole(
                *((cut * k + 128).clamp(0, 255) for k in (127, 128)),
                *((cut + 1) * k for k in (127, 128)),
            ),
            "own_range": whole(255 * (x - x.min()) / (x.max() - x.min())),
            "wrong_sign": [255 - picture.double()],
            "unscaled_data": [cut, cut.round(), x, cut.trunc()],
            "truncated": [grey.clamp(0, 255).floor()],
            "no_clamp": [y.trunc() % 256 for y in (grey, grey.round())],
            "clamps_at_zero": whole(127.5 * (x.clamp(0, 1) + 1)),
        },
    )
    return made | {"wrong_dtype": [(x0, picture.double())]}


def _beyond(got: Results, right: Results, pixels: Tensor, x: Tensor) -> bool:
    """Tell whether the way back is right, or rounded down, within [−1, 1] only."""
    if got[1].shape != x.shape:
        return False
    inside, grey = x.abs() < 1, 127.5 * (x.double() + 1)
    levels = [y[inside] for y in (grey.round(), grey.floor())]
    some = any(training.near(got[1][inside], y) for y in levels)
    return some and training.near(got[0], right[0])


_HINTS = {
    "range_01": "0…255 goes to [−1, 1], not to [0, 1], and comes back from there.",
    "divided_by_256": "The largest pixel, 255, has to meet 1: what is half of it?",
    "own_range": "With the range of the pictures at hand nobody knows the way back.",
    "overflow": "In uint8, 200 + 200 is 144, and 100 − 128 is 228: make it a float.",
    "wrong_sign": "Black is −1 and white is 1.",
    "no_clamp": "uint8 ends at 0 and 255. Cut off what is beyond, before it is uint8.",
    "clamps_at_zero": "The range of x is [−1, 1]: negative values are dark pixels.",
    "truncated": "Turning a float into an integer drops the fraction: 6.9 becomes 6.",
    "unscaled_data": "Pixels go up to 255; the model's range ends at 1.",
    "wrong_dtype": "Pixels become floats, and a picture is torch.uint8.",
}


def _pictures() -> Iterator[Inputs]:
    """Draw pictures; neither they nor x need reach the ends of their range."""
    cases = (
        ((4, 1, 6, 6), 3, (30, 212), (-40, 296)),
        ((2, 3, 8, 4), 5, (0, 256), (20, 190)),
        ((1, 1, 3, 5), 1, (0, 90), (100, 400)),
    )
    for shape, m, ends, levels in cases:
        # not near the middle of two whole numbers, where rounding is a matter of luck
        level = torch.randint(*levels, (m, *shape[1:])) + 0.4
        level -= 0.8 * torch.rand(level.shape)
        level.view(-1)[:2] = torch.tensor([0.3, 254.7])  # within, and near the ends
        pixels = torch.randint(*ends, shape, dtype=torch.uint8)
        pixels.view(-1)[:2] = torch.tensor([ends[0], ends[1] - 1])
        yield {"pixels": pixels, "x": level / 127.5 - 1}


def _judge_dtype(exercise: Exercise, answer: Answer) -> Report:
    """Compare, and look at the dtype of the picture."""
    raw: list[Any] = []

    @functools.wraps(answer)
    def kept(*args: Any, **named: Any) -> Any:
        raw[:] = [answer(*args, **named)]
        return raw[0]

    report = exercise.compare(kept)
    dtype = str(raw[0][1].dtype).removeprefix("torch.")
    if dtype != "uint8":
        raise exercise.wrong("wrong_dtype", f"a picture of dtype {dtype}", "uint8")
    return report


NORMALISE = Exercise(
    "Exercise 8.1: both ways",
    normalise,
    _pictures,
    mistakes(_HINTS, _wrong_ways, no_clamp=_beyond),
    show=lambda ways, pixels, x: f"{show((pixels, x))} become {show(ways)}",
    hint="Try it by hand: where do 0, 255, −1, 1 and 1.3 have to go?",
    praise="Clamping belongs to the picture; in the sampler, to x̂_0, never to x_t.",
    tolerance=1e-3,
    judge=_judge_dtype,
)

EXERCISES = [NORMALISE, training.EMA_UPDATE, training.LOSS_BY_T]
