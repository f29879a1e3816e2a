"""The figures of notebook 08: they draw, they show what they say, refuse nonsense."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minddpm import MLP, UNet
from minddpm.course.ch08_pictures import figures
from rooms import texts

T = 50
MEAN = torch.linspace(2, 0.1, T + 1)
COUNT = torch.ones(T + 1, dtype=torch.int64)
CURVES = {"seen": (MEAN, COUNT), "unseen": (2 * MEAN, COUNT)}

CALLS = {
    "U-Net, 8×8": lambda: figures.plot_unet(UNet(1, 8, 3), (1, 8, 8)),
    "U-Net, 28×28": lambda: figures.plot_unet(UNet(1, 8, 3), (1, 28, 28)),
    "U-Net, three levels": lambda: figures.plot_unet(
        UNet(3, 8, 0, widths=(1, 2, 2)), (3, 32, 32)
    ),
    "U-Net, deep": lambda: figures.plot_unet(UNet(1, 8, 3, middle=3), (1, 8, 8)),
    "U-Net, nothing folded": lambda: figures.plot_unet(
        UNet(1, 8, 3, patch=1), (1, 8, 8)
    ),
    "loss by t": lambda: figures.plot_loss_by_t(CURVES),
}


def test_the_unet_is_drawn_as_it_is():
    network = UNet(1, 8, 3)
    figures.plot_unet(network, (1, 8, 8))
    written = texts(plt.gcf().axes[0])
    blocks = ["fold", "enter", "down", "down", "middle", "up", "up", "leave"]
    assert [text for text in written if text in set(blocks)] == blocks
    sides = [text for text in written if "×" in text]
    assert sides == ["8×8", *["4×4"] * 3, *["2×2"] * 3, *["4×4"] * 2, "8×8"]
    channels = [text for text in written if text.isdigit()]
    assert channels == ["1", "4", "8", "8", "16", "16", "8", "8", "4", "1"]
    for module in network.modules():
        assert not module._forward_hooks, "the network is left as it was"


@pytest.mark.parametrize("middle", [1, 2])
def test_skips_join_blocks_of_the_same_resolution(middle: int):
    figures.plot_unet(UNet(1, 8, 3, widths=(1, 2, 2), middle=middle), (1, 32, 32))
    (ax,) = plt.gcf().axes
    green = [
        text
        for text in ax.texts
        if getattr(text, "arrow_patch", None)
        and text.arrow_patch.get_edgecolor()[1] > 0.5
    ]
    assert len(green) == 3
    for arc in green:
        assert arc.xy[1] == arc.xyann[1]


def test_groups_of_times_weigh_each_draw_the_same():
    mean = torch.zeros(41)
    mean[36:41] = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    count = torch.zeros(41)
    count[36:41] = torch.tensor([1.0, 0.0, 0.0, 0.0, 3.0])
    times, means = figures._merged("a", mean, count)
    np.testing.assert_allclose(times, [(36 + 3 * 40) / 4])
    np.testing.assert_allclose(means, [(1 + 3 * 5) / 4])


def test_the_curves_are_the_losses_and_are_named():
    figures.plot_loss_by_t(CURVES)
    (ax,) = plt.gcf().axes
    assert texts(ax)[:2] == ["seen", "unseen"]
    _, seen, unseen = ax.lines
    first = seen.get_xdata() == 1
    assert seen.get_ydata()[first] == pytest.approx(float(MEAN[1]))
    np.testing.assert_allclose(unseen.get_ydata(), 2 * seen.get_ydata(), rtol=1e-6)
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_a_loss_of_zero_leaves_the_frame():
    figures.plot_loss_by_t({"exact": (torch.zeros(T + 1), COUNT)})
    plt.gcf().canvas.draw()
    assert plt.gca().get_ylim()[0] == pytest.approx(1e-3)


def test_it_draws_into_axes_of_yours():
    _, ax = plt.subplots()
    figures.plot_loss_by_t(CURVES, ax=ax)
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: figures.plot_unet(UNet(1, 8, 3), (3, 8, 8)),
            r"size must be \(1, H, W\)",
        ),
        (lambda: figures.plot_unet(UNet(1, 8, 3), (1, 8)), r"size must be \(1, H, W\)"),
        (lambda: figures.plot_unet(UNet(1, 8, 3), (1, 8, 0)), "size"),
        (lambda: figures.plot_loss_by_t({}), "curves must be 1…4, got 0"),
        (
            lambda: figures.plot_loss_by_t(dict.fromkeys("abcde", (MEAN, COUNT))),
            "curves must be 1…4, got 5",
        ),
        (lambda: figures.plot_loss_by_t({"a": (MEAN, COUNT[1:])}), "as many counts"),
        (
            lambda: figures.plot_loss_by_t({"a": (MEAN, 0 * COUNT)}),
            "a draw at some time",
        ),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_of_the_wrong_type_is_refused():
    with pytest.raises(TypeError, match="network must be a UNet, got MLP"):
        figures.plot_unet(MLP(dim=2), (1, 8, 8))
    with pytest.raises(TypeError, match="curves"):
        figures.plot_loss_by_t({"a": (COUNT, COUNT)})
