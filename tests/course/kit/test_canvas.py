"""The canvas of the explorers: a figure whose background is drawn once."""

import io

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from PIL import Image

from minddpm.course.kit.canvas import Canvas, Picture, _encode
from playing import MODULES, start


def test_the_png_is_what_the_canvas_shows():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    picture = Picture(_encode(pixels), "", "")
    assert picture.size == (7, 5)
    with Image.open(io.BytesIO(picture.png)) as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), pixels[:, :, :3])


def test_only_what_is_animated_is_drawn_again():
    canvas = Canvas(height=2.0)
    ax = canvas.figure.subplots()
    (still,) = ax.plot([0, 1], [0, 1])
    (moving,) = ax.plot([0, 1], [1, 0], animated=True)
    first = canvas.png()
    still.set_ydata([1, 1])
    ax.set_title("late")
    assert canvas.png() == first
    moving.set_ydata([1, 1])
    second = canvas.png()
    assert second != first
    moving.set_ydata([1, 0])
    assert canvas.png() == first
    assert Picture(second, "", "").size == (900, 200)


def test_drawing_leaves_no_trace_in_matplotlib():
    before = dict(mpl.rcParams), pyplot.get_fignums()
    module = MODULES["schedule"]
    module._scene.cache_clear()
    module.draw(**start(module))
    assert (dict(mpl.rcParams), pyplot.get_fignums()) == before
