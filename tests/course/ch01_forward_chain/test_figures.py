"""The figures of notebook 01: they draw without a warning, and refuse what is wrong."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from minddpm.course.ch01_forward_chain import figures
from rooms import texts

GENERATOR = torch.Generator().manual_seed(0)
T = 40
PATH = torch.randn(T + 1, 200, generator=GENERATOR)
PICTURES = torch.randn(T + 1, 8, 8, generator=GENERATOR)
CLOUD = torch.randn(T + 1, 100, 2, generator=GENERATOR)
ENDS = {"T = 1": (PATH[0], PATH[1] + 1), "T = 2": (PATH[2], PATH[3])}


def density(x, t):
    assert x.dtype == torch.float32
    assert t.dtype == torch.int64
    variance = 0.1 + t / T
    return torch.exp(-(x**2) / (2 * variance)) / (2 * np.pi * variance) ** 0.5


CALLS = {
    "chain": lambda: figures.plot_chain(PATH, density, PICTURES, title="Chain"),
    "laws": lambda: figures.plot_laws(PATH, density, [0, 10, T], title="Laws"),
    "clouds": lambda: figures.plot_clouds(CLOUD, [0, 5, T], title="Clouds"),
    "ends": lambda: figures.plot_ends(ENDS, ("left", "right"), title="Ends"),
}


def test_the_chain_shows_paths_and_pictures_of_their_times():
    CALLS["chain"]()
    above, below = plt.gcf().axes
    starts = sorted(line.get_ydata()[0] for line in above.lines)
    assert len(starts) == 6
    assert set(np.float32(starts)) <= set(PATH[0].numpy())
    assert starts[0] < PATH[0].quantile(0.2) < PATH[0].quantile(0.8) < starts[-1]
    pictures = [np.asarray(image.get_array()) for image in below.images]
    assert len(pictures) == 9
    np.testing.assert_array_equal(pictures[4], PICTURES[T // 2].clamp(-1, 1))
    assert above.get_xlim() == below.get_xlim()


def test_laws_are_densities_on_the_same_axis():
    CALLS["laws"]()
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["$t$ = 0", "$t$ = 10", f"$t$ = {T}"]
    for ax in axes:
        area = sum(bar.get_width() * bar.get_height() for bar in ax.patches)
        assert area == pytest.approx(1, abs=1e-6)
        x, y = ax.lines[0].get_data()
        area = torch.trapezoid(torch.as_tensor(y), torch.as_tensor(x))
        assert float(area) == pytest.approx(1, abs=0.01)


def test_clouds_are_the_points_of_their_times_in_one_frame():
    CALLS["clouds"]()
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["$t$ = 0", "$t$ = 5", f"$t$ = {T}"]
    for t, ax in zip((0, 5, T), axes, strict=True):
        (dots,) = ax.collections
        np.testing.assert_array_equal(dots.get_offsets(), CLOUD[t].numpy())
        assert (ax.get_xlim(), ax.get_ylim()) == ((-3, 3), (-3, 3))


def test_ends_are_pairs_of_densities_in_the_colours_of_their_names():
    CALLS["ends"]()
    for ax, (name, pair) in zip(plt.gcf().axes, ENDS.items(), strict=True):
        assert ax.get_title() == name
        assert texts(ax) == ["left", "right"]
        for outline, text, sample in zip(ax.patches, ax.texts, pair, strict=True):
            assert outline.get_edgecolor() == to_rgba(text.get_color())
            inside = sample[(sample > -4) & (sample < 4)].numpy()
            due, edges = np.histogram(inside, np.linspace(-4, 4, 49), density=True)
            corners = {tuple(row) for row in outline.get_xy().round(6)}
            for left, height in zip(edges, due, strict=False):
                assert (round(left, 6), round(height, 6)) in corners


def test_what_is_wrong_is_refused():
    with pytest.raises(TypeError, match="path must be a float tensor"):
        figures.plot_chain([1.0], density, PICTURES)
    with pytest.raises(ValueError, match=r"path must have shape \(any, any\)"):
        figures.plot_laws(CLOUD, density, [0])
    with pytest.raises(ValueError, match=r"pictures must have shape \(41, any, any\)"):
        figures.plot_chain(PATH, density, PICTURES[1:])
    with pytest.raises(ValueError, match=r"path must have shape \(any, any, 2\)"):
        figures.plot_clouds(PATH, [0])
    with pytest.raises(ValueError, match=r"times must be in 0…40, got 41"):
        figures.plot_laws(PATH, density, [41])
    with pytest.raises(TypeError, match="times must be an int"):
        figures.plot_clouds(CLOUD, [0.5])
    for times in ([], range(6)):
        with pytest.raises(ValueError, match="times must be one to five"):
            figures.plot_laws(PATH, density, times)
    with pytest.raises(ValueError, match="ends must be one to three pairs, got 0"):
        figures.plot_ends({}, ("a", "b"))
    with pytest.raises(ValueError, match=r"ends\['T'\] must have shape \(any,\)"):
        figures.plot_ends({"T": (PATH, PATH)}, ("a", "b"))
