"""How tests play with explorers: any setting, and what must be true of any picture."""

import io
import itertools
import random
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from minddpm.course.contents import CHAPTERS
from minddpm.course.kit.canvas import Picture
from minddpm.course.kit.controls import Choice, Control, Slider, Toggle
from minddpm.course.kit.law import Law

Settings = dict[str, Any]


def found() -> Iterator[tuple[str, ModuleType]]:
    """Yield name and module of each explorer: those with a `<name>_explorer`."""
    for chapter in CHAPTERS:
        module = chapter.module("explorer")
        for name in vars(module) if module else ():
            if name.endswith("_explorer"):
                yield name.removesuffix("_explorer"), module


MODULES = dict(found())


def values(control: Control) -> list[Any]:
    """Return the ends of a control's range, or all its options."""
    if isinstance(control, Slider):
        return [control.values[0], control.values[-1]]
    if isinstance(control, Choice):
        return list(control.options)
    return [False, True] if isinstance(control, Toggle) else [None]


def start(module: ModuleType) -> Settings:
    return {c.name: getattr(c, "value", None) for c in module.CONTROLS}


def bounded(module: ModuleType, settings: Settings) -> Settings:
    """Keep every slider within the limit that another one sets, as the panel does."""
    limited = dict(settings)
    for c in module.CONTROLS:
        if isinstance(c, Slider) and c.at_most:
            limited[c.name] = min(settings[c.name], settings[c.at_most])
    return limited


def corners(module: ModuleType) -> Iterator[Settings]:
    """Yield combinations of extremes: all, or 100 of them by chance."""
    names = [c.name for c in module.CONTROLS]
    every = [*itertools.product(*map(values, module.CONTROLS))]
    for combination in random.Random(0).sample(every, min(len(every), 100)):
        yield bounded(module, dict(zip(names, combination, strict=True)))


def anywhere(module: ModuleType, rng: random.Random) -> Settings:
    """Return any setting that the controls allow, listed values or not."""

    def value(c: Control) -> Any:
        if not isinstance(c, Slider):
            return rng.choice(values(c))
        low, high = values(c)
        whole = all(isinstance(value, int) for value in c.values)
        return rng.randint(low, high) if whole else rng.uniform(low, high)

    return bounded(module, {c.name: value(c) for c in module.CONTROLS})


def assert_sound(picture: Picture) -> np.ndarray:
    """Return the pixels of a picture, once it is known to be one."""
    assert picture.png.startswith(b"\x89PNG")
    with Image.open(io.BytesIO(picture.png)) as image:
        image.load()
        assert image.size == picture.size
        pixels = np.asarray(image.convert("RGB"))
    assert pixels[::5].std() > 1, "the picture is empty"
    assert picture.alt
    assert picture.status
    for text in (picture.alt, picture.status, picture.warning):
        assert not re.search(r"\b(nan|inf|None|tensor|array)\b", text), text
    return pixels


def attempt(module: ModuleType, settings: Settings) -> Picture | None:
    """Return the picture, or None for a setting that is refused with a reason."""
    try:
        picture = module.draw(**settings)
    except ValueError as error:
        reason = str(error)
    else:
        assert_sound(picture)
        return picture
    assert len(reason) > 20, f"{settings}: {reason}"
    return None


def five_errors(samples: torch.Tensor, law: Law) -> None:
    """Compare mean, standard deviation and sixths of samples, (N,), with a law."""
    n = len(samples)
    mean, std = law.moments()
    centred = samples.double() - samples.double().mean()
    found = centred.square().mean().sqrt()
    assert abs(float(samples.double().mean()) - mean) < 5 * found / n**0.5
    kurtosis = (centred / found).pow(4).mean()
    assert abs(float(found) - std) < 5 * found * ((kurtosis - 1) / (4 * n)) ** 0.5
    edges = np.array([-9.0, -0.75, -0.4, 0.05, 0.35, 0.75, 9.0])
    share = law.shares(edges)
    assert share.sum() == pytest.approx(1)
    measured = np.histogram(samples, edges)[0] / n
    due = n * share > 25  # fewer are not Gaussian, and would be missing elsewhere
    error = np.sqrt(share[due] * (1 - share[due]) / n)
    assert (np.abs(measured - share)[due] < 5 * error).all()
