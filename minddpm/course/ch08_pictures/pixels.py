"""The check of exercise 8.1 in notebook 08: pixels to [−1, 1], and back."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

_HINTS = {
    "range_01": "0…255 goes to [−1, 1], not to [0, 1], and comes back from there.",
    "divided_by_256": "The largest pixel is 255, and it has to meet 1 exactly: what is "
    "half of 255?",
    "own_range": "One fixed map for all pictures. With a minimum, mean or spread of "
    "the pictures at hand nobody knows the way back.",
    "overflow": "In uint8, 200 + 200 is 144, and 100 − 128 is 228. Make it a float "
    "first, and calculate then.",
    "wrong_sign": "Black is −1 and white is 1.",
    "no_clamp": "x may lie beyond [−1, 1], and uint8 ends at 0 and 255. What is beyond "
    "has to be cut off before it becomes an integer.",
    "clamps_at_zero": "The range of x is [−1, 1]: negative values are dark pixels.",
    "truncated": "Turning a float into an integer drops the fraction: 6.9 becomes 6.",
    "unscaled_data": "Pixels go up to 255; the model's range ends at 1.",
    "swapped": "Return first the pixels in the model's range, then the picture.",
    "wrong_dtype": "Pixels become floats, and a picture is torch.uint8.",
    "": "Try it by hand: where do 0, 255, −1, 1 and 1.3 have to go?",
}


def _fail(mistake: str | None, measured: Any, expected: Any) -> Wrong:
    return Wrong(mistake, measured, expected, _HINTS[mistake or ""])


@check("Exercise 8.1: both ways")
def check_normalise(function: Callable[..., Any]) -> Report:
    """Check `both_ways(pixels, x)`: into the model's range, and back with a clamp.

    x_0 = p / 127.5 − 1 and p = round(127.5 (clamp(x, −1, 1) + 1))

    Args:
        function: takes pixels, (B, C, H, W) uint8, and x, (M, C, H, W) float that may
            lie beyond [−1, 1]. Returns the pixels as floats in [−1, 1], and x as uint8.

    Returns:
        The report; the comparison is deterministic.
    """
    for shape, m in (((4, 1, 6, 6), 3), ((2, 3, 8, 4), 5)):
        pixels = torch.randint(8, 248, shape, dtype=torch.uint8)
        pixels.view(-1)[:4] = torch.tensor([0, 255, 100, 200])
        first = (m, *shape[1:])
        # not near the middle of two whole numbers, where rounding is a matter of luck
        level = torch.randint(-40, 296, first) + 0.4 * (2 * torch.rand(first) - 1)
        level.view(-1)[:4] = torch.tensor([0.0, 255.0, -30.3, 290.4])
        x = level / 127.5 - 1
        raw: list[Any] = []
        keep = _keeping(function, raw)
        x0, picture = call(keep, [shape, first], pixels=pixels, x=x)
        _judge_in(pixels, x0, raw[0])
        _judge_out(level.double(), picture, raw[1])
    return Report(
        measured=f"0 ↦ {x0.min():g}, 255 ↦ {x0.max():g}; back, and cut off beyond: "
        f"{int(picture.min())}…{int(picture.max())}",
        expected="0 ↦ −1, 255 ↦ 1; 0…255",
        hint="Clamping belongs to the picture. Inside the sampler it is x̂_0 that may "
        "be clamped, never x_t (notebook 07).",
    )


def _keeping(function: Callable[..., Any], raw: list[Any]) -> Callable[..., Any]:
    """Return the same function, that also keeps what it returned, with its dtypes."""

    @functools.wraps(function)
    def kept(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        raw[:] = result if isinstance(result, tuple | list) else [result]
        return result

    return kept


def _is(raw: Any, kind: str) -> bool:
    """Tell whether a tensor or an array is "float" or "uint8"."""
    dtype = str(getattr(raw, "dtype", "")).removeprefix("torch.")
    return dtype.lstrip("b").startswith("float") if kind == "float" else dtype == kind


def _judge_in(pixels: Tensor, x0: Tensor, raw: Any) -> None:
    """Raise unless the pixels are in the model's range, as floats."""
    p = pixels.double()
    right = p / 127.5 - 1
    if z_score(x0, right, 1e-3) > 1:
        twice = (pixels * 2).double()  # in uint8
        spread = (p - p.mean()) / p.std()
        axes = (1, 2, 3)
        each = (p - p.mean(axes, keepdim=True)) / p.std(axes, keepdim=True)
        shares = [
            (p - p.amin(axes, keepdim=True))
            / (p.amax(axes, keepdim=True) - p.amin(axes, keepdim=True)),
            p / p.amax(axes, keepdim=True),
        ]
        known = {
            "range_01": [p / 255, p / 256],
            "divided_by_256": [p / 128 - 1, (p - 128) / 128, (p - 127) / 128],
            "own_range": [spread, each, *shares, *(2 * s - 1 for s in shares)],
            "overflow": [
                *(twice / k - 1 for k in (255, 256)),
                *((pixels - k).double() / k for k in (127, 128)),
            ],
            "wrong_sign": -right,
            "unscaled_data": [p, p - 127.5, p - 128],
            "truncated": [right.floor(), right.trunc(), (p / 255).floor() * 2 - 1],
        }
        mistake = name_mistake(x0, known, 1e-3)
        where = [0, 1, 2, 3]
        raise _fail(
            mistake,
            f"0, 255, 100 and 200 become {_numbers(x0, where)}",
            _numbers(right, where),
        )
    if not _is(raw, "float"):
        said = f"x0 is of dtype {getattr(raw, 'dtype', type(raw).__name__)}"
        raise _fail("wrong_dtype", said, "floats")


def _judge_out(level: Tensor, picture: Tensor, raw: Any) -> None:
    """Raise unless the way back is rounded, cut off, and uint8."""
    right = level.round().clamp(0, 255)
    x = level / 127.5 - 1
    if not torch.equal(picture, right):
        inside = (level > 0) & (level < 255)
        low, high = x.min(), x.max()
        share = (x - low) / (high - low)
        cut = x.clamp(-1, 1)
        whole = level.clamp(0, 255)
        known = {
            "truncated": [whole.floor(), (x + 1).mul(127.5).clamp(0, 255).trunc()],
            "clamps_at_zero": [
                (x.clamp(0, 1) + 1).mul(127.5).round(),
                (x.clamp(0, 1) + 1).mul(127.5).floor(),
            ],
            "range_01": [
                (x.clamp(0, 1) * 255).round(),
                (x.clamp(0, 1) * 255).floor(),
            ],
            "divided_by_256": [
                *((cut * k + 128).clamp(0, 255).floor() for k in (127, 128)),
                *((cut * k + 128).clamp(0, 255).round() for k in (127, 128)),
                *(((cut + 1) * 128).clamp(0, k).floor() for k in (255, 256)),
                ((cut + 1) * 128).clamp(0, 255).round(),
            ],
            "own_range": [(share * 255).round(), (share * 255).floor()],
            "wrong_sign": 255 - right,
            "unscaled_data": [cut, cut.round(), x, cut.trunc()],
        }
        mistake = name_mistake(picture, known, 0.5)
        if mistake is None and bool(inside.any()):
            own, fine = picture[inside], level[inside]
            exact = z_score(own, fine.round(), 0.5) <= 1
            if exact or z_score(own, fine.floor(), 0.5) <= 1:
                mistake = "no_clamp"
        worst = int((picture - right).abs().argmax())
        value = float(x.flatten()[worst])
        raise _fail(
            mistake,
            f"x = {value:.4f} becomes {picture.flatten()[worst]:g}",
            f"{right.flatten()[worst]:g}, which is {level.flatten()[worst]:.2f} "
            "rounded and cut off",
        )
    if not _is(raw, "uint8"):
        said = f"the picture is of dtype {getattr(raw, 'dtype', type(raw).__name__)}"
        raise _fail("wrong_dtype", said, "torch.uint8")


def _numbers(values: Tensor, where: list[int]) -> str:
    flat = values.flatten()
    return ", ".join(f"{flat[k]:.3f}" for k in where)
