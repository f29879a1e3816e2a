"""The figures of notebook 01: they draw without a warning, and refuse what is wrong."""

import io

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minddpm.course.kit import plots
from minddpm.course.ch01_forward_chain import figures

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
    "chain": lambda: f01.plot_chain(PATH, density, PICTURES, title="Chain"),
    "laws": lambda: f01.plot_laws(PATH, density, [0, 10, T], title="Laws"),
    "clouds": lambda: f01.plot_clouds(CLOUD, [0, 5, T], title="Clouds"),
    "ends": lambda: f01.plot_ends(ENDS, ("left", "right"), title="Ends"),
}
each = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture(autouse=True)
def closed():
    plt.close("all")
    yield
    plt.close("all")


@each
def test_draws_one_figure_without_a_warning_and_changes_no_setting(call):
    before = dict(mpl.rcParams)
    assert call() is None
    assert dict(mpl.rcParams) == before
    assert len(plt.get_fignums()) == 1
    file = io.BytesIO()
    plt.savefig(file, format="png", bbox_inches="tight")
    assert file.getvalue()[:4] == b"\x89PNG"
    assert plt.gcf().get_figwidth() <= plots.WIDTH + 1e-9


@each
def test_text_is_large_enough_for_a_classroom(call):
    call()
    plt.gcf().draw_without_rendering()
    found = plt.gcf().findobj(mpl.text.Text)
    assert min(text.get_fontsize() for text in found if text.get_text()) >= 12


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


def test_what_is_wrong_is_refused():
    with pytest.raises(TypeError, match="path must be a float tensor"):
        f01.plot_chain([1.0], density, PICTURES)
    with pytest.raises(ValueError, match=r"path must have shape \(any, any\)"):
        f01.plot_laws(CLOUD, density, [0])
    with pytest.raises(ValueError, match=r"pictures must have shape \(41, any, any\)"):
        f01.plot_chain(PATH, density, PICTURES[1:])
    with pytest.raises(ValueError, match=r"path must have shape \(any, any, 2\)"):
        f01.plot_clouds(PATH, [0])
    with pytest.raises(ValueError, match=r"times must be in 0…40, got 41"):
        f01.plot_laws(PATH, density, [41])
    with pytest.raises(TypeError, match="times must be an int"):
        f01.plot_clouds(CLOUD, [0.5])
    for times in ([], range(6)):
        with pytest.raises(ValueError, match="times must be one to five"):
            f01.plot_laws(PATH, density, times)
    with pytest.raises(ValueError, match="ends must be one to three pairs, got 0"):
        f01.plot_ends({}, ("a", "b"))
    with pytest.raises(ValueError, match=r"ends\['T'\] must have shape \(any,\)"):
        f01.plot_ends({"T": (PATH, PATH)}, ("a", "b"))
