"""The figures: what they show, that they change no settings, and appear once."""

import io
import itertools
import math
import re
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import FancyBboxPatch

from minddpm import Schedule, Step
from minddpm.course.contents import CHAPTERS, PARTS
from minddpm.course.kit import plots

GREY = torch.rand(24, 1, 8, 8) * 2 - 1
RGB = torch.rand(6, 3, 8, 6) * 2 - 1
LABELS = torch.arange(24) % 5
SCHEDULES = {"linear": Schedule.linear(100), "cosine": Schedule.cosine(50)}
STEPS = [
    Step(t, torch.full((2, 1, 4, 4), t / 100), torch.full((2, 1, 4, 4), -t / 100))
    for t in range(100, 0, -1)
]
POINTS = torch.randn(100, 2)

CARDS = sys.modules[plots.plot_notation.__module__]

CALLS = {
    "images": lambda **k: plots.plot_images(GREY, LABELS, title="Title", **k),
    "rgb": lambda **k: plots.plot_images(RGB, ["a", "b"], columns=3, **k),
    "class grid": lambda **k: plots.plot_class_grid(GREY, LABELS, **k),
    "film strip": lambda **k: plots.plot_film_strip(STEPS, title="Film", **k),
    "schedules": lambda **k: plots.plot_schedules(SCHEDULES, **k),
    "points": lambda **k: plots.plot_points(POINTS, labels=torch.arange(100) % 8, **k),
    "density": lambda **k: plots.plot_points(
        POINTS, density=lambda x: (-x.square().sum(1)).exp(), title="Density", **k
    ),
    "loss": lambda **k: plots.plot_loss(POINTS[:, 0].abs(), floor=0.3, **k),
    "map": lambda **k: plots.plot_course_map(3, **k),
    "notation": lambda **k: plots.plot_notation(**k),
}


def texts(ax=None):
    """Return every text on the axes, by what it says."""
    return {text.get_text(): text for text in (ax or plt.gca()).texts}


def sheet():
    (image,) = plt.gca().images
    return np.asarray(image.get_array())


# --- manners of all of them -----------------------------------------------------------


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_looks_alike_whatever_the_readers_settings_are(call):
    def picture():
        call()
        file = io.BytesIO()
        plt.savefig(file, format="rgba")
        plt.close()
        return file.getvalue()

    plain = picture()
    dark = {"font.size": 5, "xtick.labelsize": 30, "ytick.color": "red"}
    with plt.style.context(["dark_background", dark]):
        call()
        figure = plt.gcf()
        file = io.BytesIO()
        figure.savefig(file, format="rgba", facecolor=figure.get_facecolor())
    assert file.getvalue() == plain


@pytest.mark.parametrize("name", [name for name in CALLS if name != "schedules"])
def test_draws_into_given_axes(name):
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    CALLS[name](ax=axes[1])
    assert plt.get_fignums() == [figure.number]
    assert not axes[0].has_data()
    assert axes[1].has_data() or axes[1].patches or axes[1].texts
    plt.savefig(io.BytesIO(), format="png")


def test_draws_into_given_three_axes():
    _, axes = plt.subplots(2, 3, figsize=(9, 6))
    CALLS["schedules"](axes=axes[1])
    assert [len(ax.lines) for ax in axes.flat] == [0, 0, 0, 2, 2, 2]


def test_wrong_argument_leaves_no_figure():
    with pytest.raises(ValueError, match="images"):
        plots.plot_images(torch.zeros(2, 2, 8, 8))
    assert plt.get_fignums() == []


def test_house_style_holds_inside_the_block():
    before = plt.rcParams["font.size"]
    with plots.house_style():
        assert plt.rcParams["font.size"] == plots.STYLE["font.size"] != before
    assert plt.rcParams["font.size"] == before


# --- the colours ----------------------------------------------------------------------

# How the linear RGB of a screen looks to people who lack one kind of cone
# (Machado, Oliveira & Fernandes 2009, severity 1).
SEEN_BY = {
    "all cones": np.eye(3),
    "no long": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no medium": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no short": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)


def linear(colour):
    rgb = np.array(mpl.colors.to_rgb(f"#{colour.lstrip('#')}"))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear RGB."""
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("colour", plots.COLOURS)
def test_colour_stands_out_from_white(colour):
    """Contrast of at least 3 : 1, as WCAG 2 asks of graphics."""
    assert 1.05 / (TO_XYZ[1] @ linear(colour) + 0.05) >= 3


@pytest.mark.parametrize("matrix", SEEN_BY.values(), ids=SEEN_BY)
def test_colours_differ_for_every_eye(matrix):
    """A difference of 2.3 in CIELAB is just noticeable; ours are five times that."""
    seen = [lab(matrix @ linear(colour)) for colour in plots.COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 11.5


# --- pictures -------------------------------------------------------------------------


def test_images_are_shown_as_they_are():
    images = torch.tensor([-1.0, 1.0, 0.0, 5.0]).reshape(4, 1, 1, 1).expand(4, 1, 3, 3)
    plots.plot_images(images, columns=2)
    shown = sheet()
    assert shown.shape == (7, 7, 3)
    assert (shown[:3, :3] == 0).all()
    assert (shown[:3, 4:] == 1).all()
    assert (shown[4:, :3] == 0.5).all()
    assert (shown[4:, 4:] == 1).all()  # cut off
    assert (shown[3] == 1).all()  # the gap
    assert plt.gca().images[0].get_interpolation() == "nearest"


def test_images_in_colour():
    plots.plot_images(RGB[:1])
    expected = (RGB[0].permute(1, 2, 0) + 1) / 2
    torch.testing.assert_close(torch.from_numpy(sheet()), expected)


@pytest.mark.parametrize(
    ("labels", "columns", "aligned"),
    [
        (LABELS[:6], 3, "center"),
        (list("abcdef"), 3, "center"),
        (["upper", "lower"], 3, "right"),
        (list("abcdef"), 1, "center"),
    ],
)
def test_images_labels(labels, columns, aligned):
    plots.plot_images(GREY[:6], labels, columns=columns)
    found = plt.gca().texts
    assert [text.get_text() for text in found] == [
        str(k)
        for k in (labels.tolist() if isinstance(labels, torch.Tensor) else labels)
    ]
    assert {text.get_ha() for text in found} == {aligned}


def test_images_default_to_ten_columns():
    plots.plot_images(GREY)
    assert sheet().shape == (8 * 3 + 2, 8 * 10 + 9, 3)


@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        (GREY.numpy(), TypeError, "images must be a float tensor, got ndarray"),
        (GREY.long(), TypeError, "images must be a float tensor, got torch.int64"),
        (GREY[0], ValueError, r"images must have shape \(any, any, any, any\)"),
        (GREY.expand(24, 4, 8, 8), ValueError, r"grey \(N, 1, H, W\) or RGB .* got"),
        (GREY[:0], ValueError, r"N ≥ 1, got \(0, 1, 8, 8\)"),
        (GREY * math.nan, ValueError, "images must hold numbers, got NaN"),
    ],
)
def test_images_wrong(images, error, match):
    with pytest.raises(error, match=match):
        plots.plot_images(images)
    with pytest.raises(error, match=match):
        plots.plot_class_grid(images, LABELS)


def test_images_wrong_options():
    with pytest.raises(
        ValueError, match=r"one a picture \(24\) or one a row \(3\), got 2"
    ):
        plots.plot_images(GREY, ["a", "b"])
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        plots.plot_images(GREY, columns=0)


def test_class_grid_has_a_column_for_each_class():
    images = (torch.tensor([2, 0, 2, 5, 2]) / 5).reshape(5, 1, 1, 1).expand(5, 1, 2, 2)
    labels = torch.tensor([2, 0, 2, 5, 2])
    plots.plot_class_grid(images, labels, rows=2, names=list("abcdef"))
    found = plt.gca().texts
    assert [text.get_text() for text in found] == ["a", "c", "f"]
    shown, (bottom, right) = sheet(), sheet().shape[:2]
    for column, label in enumerate((0, 2, 5)):
        left = round(found[column].xy[0] - 0.5)
        assert (shown[bottom - 5, left] == (label / 5 + 1) / 2).all()
        # in the second row only class 2 has a picture
        expected = (label / 5 + 1) / 2 if label == 2 else 1
        np.testing.assert_allclose(shown[bottom - 1, left], expected)
        assert left + 1 < right


def test_class_grid_wrong():
    with pytest.raises(TypeError, match="labels must be an int64 tensor"):
        plots.plot_class_grid(GREY, LABELS.float())
    with pytest.raises(ValueError, match=r"labels must have shape \(24,\)"):
        plots.plot_class_grid(GREY, LABELS[:3])
    with pytest.raises(ValueError, match="names must name all 5 classes, got 2"):
        plots.plot_class_grid(GREY, LABELS, names=["a", "b"])
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        plots.plot_class_grid(GREY, LABELS, rows=0)


def test_film_strip_says_which_time_a_picture_belongs_to():
    """STEPS hold t / 100 in x_s and −t / 100 in x0_hat."""
    plots.plot_film_strip(STEPS, frames=4)
    found = plt.gca().texts
    times = [100, 67, 34, 1]
    assert [text.get_text() for text in found] == [
        *(f"s = {t - 1}" for t in times),
        *(f"t = {t}" for t in times),
        "$x_s$",
        r"$\hat{x}_0$ from $x_t$",
    ]
    shown = sheet()
    for k, text in enumerate(found[:8]):
        x, y = (round(v + 0.5) for v in text.xy)  # the first pixel below the text
        t = times[k % 4] if k < 4 else -times[k % 4]
        np.testing.assert_allclose(shown[y, x], (t / 100 + 1) / 2, atol=1e-6)


def test_film_strip_of_long_steps():
    steps = [STEPS[0], STEPS[50], STEPS[90]]  # t = 100, 50, 10
    plots.plot_film_strip(steps)
    found = texts()
    assert [name for name in found if "s =" in name] == ["s = 50", "s = 10", "s = 0"]


def test_film_strip_shows_the_sample_asked_for():
    x = torch.stack([torch.full((1, 2, 2), -1.0), torch.full((1, 2, 2), 1.0)])
    plots.plot_film_strip([Step(1, x, x)], index=0)
    assert sheet()[-1, 0, 0] == 0
    plt.close()
    plots.plot_film_strip([Step(1, x, x)], index=1)
    assert sheet()[-1, 0, 0] == 1


@pytest.mark.parametrize(
    ("steps", "options", "error", "match"),
    [
        (iter(STEPS), {}, TypeError, r"steps must be a list of Step.*made one by list"),
        ([1, 2], {}, TypeError, "steps must be a list of Step, got list"),
        ([], {}, ValueError, "at least one step, got none"),
        (STEPS[::-1], {}, ValueError, "falling times, got t = 1, 2, 3"),
        (STEPS, {"index": 2}, ValueError, r"index must be in 0…1, got 2"),
        (STEPS, {"frames": 0}, ValueError, "frames must be at least 1, got 0"),
        ([Step(1, POINTS, POINTS)], {}, ValueError, r"x_s must have shape"),
        ([Step(1, GREY * math.nan, GREY)], {}, ValueError, "x_s must hold numbers"),
    ],
)
def test_film_strip_wrong(steps, options, error, match):
    with pytest.raises(error, match=match):
        plots.plot_film_strip(steps, **options)


# --- curves and points ----------------------------------------------------------------


def test_schedules_show_their_tables():
    plots.plot_schedules(SCHEDULES)
    beta, signal, snr = plt.gcf().axes
    for k, schedule in enumerate(SCHEDULES.values()):
        u = np.arange(schedule.T + 1) / schedule.T
        for ax, table, first in (
            (beta, schedule.betas, 1),
            (signal, schedule.sqrt_alpha_bars, 0),
            (snr, schedule.snr.double().log10(), 1),
        ):
            x, y = ax.lines[k].get_data()
            np.testing.assert_allclose(x, u[first:])
            # a logarithm near 0 has no relative error to speak of
            np.testing.assert_allclose(y, table[first:].numpy(), rtol=1e-6, atol=2e-7)
    assert beta.get_yscale() == "log"


def test_schedules_are_named_beside_their_curves_and_apart():
    same = {name: Schedule.cosine(50) for name in ("one", "two", "three", "four")}
    plots.plot_schedules(same)
    ax = plt.gcf().axes[2]
    plt.gcf().draw_without_rendering()
    found = texts(ax)
    assert set(found) == set(same)
    boxes = [text.get_window_extent() for text in found.values()]
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    for text, line in zip(found.values(), ax.lines, strict=True):
        assert text.get_color() == line.get_color()


def test_schedules_wrong():
    with pytest.raises(
        TypeError, match=r"schedules\['b'\] must be a Schedule, got float"
    ):
        plots.plot_schedules({"b": 0.1})
    with pytest.raises(ValueError, match="schedules must be 1…6, got 0"):
        plots.plot_schedules({})
    with pytest.raises(ValueError, match="schedules must be 1…6, got 7"):
        plots.plot_schedules({str(k): SCHEDULES["linear"] for k in range(7)})
    with pytest.raises(ValueError, match="axes must be three, one a panel, got 2"):
        plots.plot_schedules(SCHEDULES, axes=plt.subplots(1, 2)[1])


def test_points_are_all_in_the_frame():
    plots.plot_points(POINTS)
    (dots,) = plt.gca().collections
    np.testing.assert_allclose(dots.get_offsets(), POINTS.numpy())
    (left, right), (bottom, top) = plt.gca().get_xlim(), plt.gca().get_ylim()
    assert left < POINTS[:, 0].min()
    assert right > POINTS[:, 0].max()
    assert bottom < POINTS[:, 1].min()
    assert top > POINTS[:, 1].max()


def test_density_is_the_right_way_round():
    """It grows along x alone."""
    plots.plot_points(POINTS, density=lambda x: x[:, 0] - x[:, 0].min())
    (image,) = plt.gca().images
    heat = np.asarray(image.get_array())
    assert (np.diff(heat, axis=1) > 0).all()
    assert (np.diff(heat, axis=0) == 0).all()
    assert image.origin == "lower"
    left, right, bottom, top = image.get_extent()
    assert (left, right) == plt.gca().get_xlim()
    assert (bottom, top) == plt.gca().get_ylim()


def test_points_by_class():
    labels = torch.arange(100) % 3
    plots.plot_points(POINTS, labels=labels, names=["one", "two", "three"])
    assert set(texts()) == {"one", "two", "three"}
    for k, dots in enumerate(plt.gca().collections):
        np.testing.assert_allclose(dots.get_offsets(), POINTS[labels == k].numpy())
        assert texts()[["one", "two", "three"][k]].get_color() == plots.COLOURS[k]


def test_one_point_is_enough():
    plots.plot_points(torch.ones(1, 2), labels=torch.tensor([0]))
    plt.savefig(io.BytesIO(), format="png")
    assert plt.gca().collections[0].get_offsets().tolist() == [[1, 1]]
    assert plt.gca().get_xlim()[0] < 1 < plt.gca().get_xlim()[1]


@pytest.mark.parametrize(
    ("points", "options", "error", "match"),
    [
        ([[0.0, 1.0]], {}, TypeError, "points must be a float tensor, got list"),
        (torch.zeros(5, 3), {}, ValueError, r"points must have shape \(any, 2\)"),
        (torch.zeros(0, 2), {}, ValueError, "at least one and finite, got 0 points"),
        (POINTS / 0, {}, ValueError, "got 100 points, 100 of them NaN or infinite"),
        (POINTS, {"labels": LABELS}, ValueError, r"labels must have shape \(100,\)"),
        (
            POINTS,
            {"labels": torch.ones(100).long(), "names": ["a"]},
            ValueError,
            "names must name all 2 classes, got 1",
        ),
    ],
)
def test_points_wrong(points, options, error, match):
    with pytest.raises(error, match=match):
        plots.plot_points(points, **options)


@pytest.mark.parametrize("as_given", [torch.Tensor.clone, torch.Tensor.tolist])
def test_loss_and_its_running_mean(as_given):
    losses = torch.rand(200)
    plots.plot_loss(as_given(losses), floor=0.25)
    raw, mean, floor = plt.gca().lines
    np.testing.assert_allclose(raw.get_ydata(), losses.numpy(), rtol=1e-6)
    steps, means = mean.get_data()
    np.testing.assert_array_equal(steps, np.arange(3, 199))  # middles of 200 / 40 = 5
    expected = losses.double().unfold(0, 5, 1).mean(1)
    np.testing.assert_allclose(means, expected.numpy(), rtol=1e-6)
    assert mean.get_linewidth() > raw.get_linewidth()
    assert set(floor.get_ydata()) == {0.25}
    assert set(texts()) == {"floor\n0.25", "thin: each step\nthick: mean of 5 steps"}
    assert plt.gca().get_ylim()[0] == 0


@pytest.mark.parametrize("first", [1, 3, 150])
def test_loss_that_ran_away(first):
    losses = torch.rand(200)
    losses[first - 1] = math.inf
    losses[first:] = math.nan
    plots.plot_loss(losses)
    assert f"NaN or infinite\nfrom step {first}" in texts()
    plt.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("losses", [[0.5], [0.0, 0.0], [1.0, 2.0, 3.0]])
def test_loss_of_few_steps(losses):
    plots.plot_loss(losses)
    plt.savefig(io.BytesIO(), format="png")
    raw, mean = plt.gca().lines
    assert list(raw.get_ydata()) == list(mean.get_ydata()) == losses
    assert texts() == {}, "no key to what is the same"


def test_loss_wrong():
    with pytest.raises(ValueError, match=r"losses must be \(steps,\).*got \(0,\)"):
        plots.plot_loss([])
    with pytest.raises(ValueError, match=r"losses must be \(steps,\).*got \(2, 2\)"):
        plots.plot_loss(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="floor must be finite and at least 0, got -1"):
        plots.plot_loss([1.0], floor=-1)
    with pytest.raises(TypeError, match=r"floor must be a number, got '0\.3'"):
        plots.plot_loss([1.0], floor="0.3")


# --- cards ----------------------------------------------------------------------------


def boxes():
    return [p for p in plt.gca().patches if isinstance(p, FancyBboxPatch)]


@pytest.mark.parametrize("k", range(len(CHAPTERS)))
def test_course_map_highlights_one_box(k):
    plots.plot_course_map(int(CHAPTERS[k].number))
    filled = [mpl.colors.to_hex(box.get_facecolor()) != "#ffffff" for box in boxes()]
    assert [i for i, yes in enumerate(filled) if yes] == [k]


@pytest.mark.parametrize("n", [1, 5, 6, 10, 16])
def test_course_map_names_any_number_of_chapters_in_boxes_that_hold_them(
    n, monkeypatch
):
    chapters = tuple(
        CHAPTERS[min(k, len(CHAPTERS) - 1)]._replace(number=f"{k:02d}")
        for k in range(n)
    )
    monkeypatch.setattr(CARDS, "CHAPTERS", chapters)
    plots.plot_course_map()
    plt.gcf().draw_without_rendering()
    assert len(boxes()) == n
    frames = [box.get_window_extent() for box in boxes()]
    for a, b in itertools.combinations(frames, 2):
        assert not a.overlaps(b)
    written = [text for text in plt.gca().texts if text.get_text()]
    for chapter, frame in zip(chapters, frames, strict=True):
        inside = [t for t in written if frame.contains(*t.get_window_extent().p0)]
        assert [t.get_text() for t in inside] == [chapter.number, chapter.label]
        for text in inside:
            extent = text.get_window_extent()
            assert frame.x0 < extent.x0 < extent.x1 < frame.x1
            assert frame.y0 < extent.y0 < extent.y1 < frame.y1
    beside = [t.get_text() for t in written[2 * n :]]
    if n in (1, 10):
        assert beside == ([] if n == 1 else [text for text in PARTS.values() if text])
    whole = plt.gcf().bbox
    for text in written:
        assert whole.contains(*text.get_window_extent().p0)
        assert whole.contains(*text.get_window_extent().p1)


def test_course_map_goes_out_and_comes_back():
    at = [CARDS._place(k) for k in range(12)]
    assert at[:5] == [(k, 0) for k in range(5)]
    assert at[5:10] == [(4 - k, -1) for k in range(5)]
    assert at[10:] == [(0, -2), (1, -2)]


def test_labels_of_chapters_are_the_names_of_their_notebooks():
    for chapter in CHAPTERS:
        assert re.sub(r"\W", "_", chapter.label) == chapter.slug
        assert chapter.part in PARTS


def test_course_map_wrong():
    last = int(CHAPTERS[-1].number)
    with pytest.raises(ValueError, match=f"current must be in 0…{last}, got 100"):
        plots.plot_course_map(100)
    with pytest.raises(TypeError, match="current must be an int, got '03'"):
        plots.plot_course_map("03")


def test_notation_texts_do_not_overlap():
    plots.plot_notation()
    plt.gcf().draw_without_rendering()
    boxes = [text.get_window_extent() for text in plt.gca().texts if text.get_text()]
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    frame = plt.gcf().bbox
    assert min(box.x0 for box in boxes) > frame.x0
    assert max(box.x1 for box in boxes) < frame.x1


def test_notation_names_what_the_code_has():
    names = {name for _, code, _ in CARDS._NOTATION for name in code.split(", ")}
    assert set(SCHEDULES["linear"].tables()) & names == {
        "betas",
        "alphas",
        "alpha_bars",
        "sqrt_alpha_bars",
        "sqrt_one_minus_alpha_bars",
    }
    assert {"x_s", "x0_hat"} <= names


# --- in a notebook --------------------------------------------------------------------


@pytest.mark.filterwarnings("default")  # Jupyter's own are not ours to mend
def test_shows_exactly_once_in_a_notebook():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    cells = [
        "from minddpm.course.kit import plots",
        "plots.plot_loss([1.0, 0.5])",
        "plots.plot_loss([1.0, 0.5])\nplots.plot_loss([2.0, 0.5])",
        "plots.plot_loss([1.0, 0.5])\n'more'",
        "import matplotlib\nmatplotlib.rcParams['font.size']",
        "%matplotlib inline\nplots.plot_loss([1.0, 0.5])",
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
    )
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    shown = [
        [
            "image/png" if "image/png" in output.data else "text"
            for output in cell.outputs
        ]
        for cell in notebook.cells
    ]
    one = "image/png"
    assert [sorted(kinds) for kinds in shown] == [
        [],
        [one],
        [one, one],
        [one, "text"],
        ["text"],
        [one],
    ]
    assert notebook.cells[4].outputs[0].data["text/plain"] == "10.0"
