"""Networks that predict noise: an MLP for points, a U-Net for pictures.

Both follow the network protocol of `DDPM`: `net(x_t, c, t, context_mask) -> eps_hat`
with t in (0, 1] and context_mask 1 where the label is dropped. Any module that does so
can take their place. `config` holds the arguments each was made with.
"""

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minddpm import _validate
from minddpm.device import Exact, dtype_of


class Conditioning(Exact):
    """Turn time and label into one vector a sample.

    The time enters as sines and cosines of t at frequencies from 1 to 1000, so that
    nearby times look alike and distant ones do not. A dropped label becomes an entry of
    its own in the table of labels: "no label" is not class 0.

    Args:
        n_feat: length of the vector, an even number.
        n_classes: number of classes; 0 ignores the labels.
        null_label: the vector of "no label" is "learned", or "zero" for ever.

    Raises:
        TypeError: if a number is no int.
        ValueError: if an argument is out of range.
    """

    @_validate.by_name
    def __init__(self, n_feat: int, n_classes: int, null_label: str) -> None:
        super().__init__()
        if _validate.integer("n_feat", n_feat, 2) % 2:
            raise ValueError(f"n_feat must be even, got {n_feat}")
        self.n_classes = n_classes
        frequencies = torch.logspace(0, 3, n_feat // 2, dtype=torch.float32)
        self.frequencies = nn.Buffer(frequencies, persistent=False)
        layers = nn.Linear(n_feat, n_feat), nn.SiLU(), nn.Linear(n_feat, n_feat)
        self.time = nn.Sequential(*layers)
        if n_classes:
            zero = n_classes if null_label == "zero" else None
            self.label = nn.Embedding(n_classes + 1, n_feat, padding_idx=zero)

    def forward(self, c: Tensor, t: Tensor, context_mask: Tensor, n: int) -> Tensor:
        """Return the vectors for labels c and times t.

        Args:
            c: labels, int64, (n,) or broadcastable to it.
            t: times over T, in (0, 1], (n,) or broadcastable to it.
            context_mask: float, 1 where the label is dropped, as c.
            n: number of samples.

        Returns:
            One vector a sample, (n, n_feat).
        """
        phase = _validate.spread("t", t, n)[:, None] * self.frequencies
        waves = torch.cat([phase.sin(), phase.cos()], dim=1)
        vector = self.time(waves.to(dtype_of(self, waves)))
        if self.n_classes:
            c = _validate.labels("c", _validate.spread("c", c, n), n, self.n_classes)
            dropped = _validate.spread("context_mask", context_mask, n) > 0.5
            vector = vector + self.label(torch.where(dropped, self.n_classes, c))
        return F.silu(vector)


class MLP(nn.Module):
    """A multilayer perceptron that predicts the noise in points.

    Args:
        dim: number of coordinates of a point.
        n_feat: width of the hidden layers, an even number.
        n_classes: number of classes; 0 ignores the labels.
        n_layers: number of hidden layers, each told time and label anew.
        null_label: the embedding of "no label" is "learned", or "zero" for ever.

    Raises:
        TypeError: if a number is no int.
        ValueError: if an argument is out of range.

    >>> net = MLP(dim=2, n_classes=3)
    >>> x_t, c = torch.zeros(5, 2), torch.tensor([0, 1, 2, 0, 1])
    >>> net(x_t, c, torch.full((5,), 0.5), torch.zeros(5)).shape
    torch.Size([5, 2])
    """

    @_validate.by_name
    def __init__(
        self, dim: int = 2, n_feat: int = 128, n_classes: int = 0, *, n_layers: int = 3,
        null_label: str = "learned",
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = _arguments(locals())
        self.condition = Conditioning(n_feat, n_classes, null_label)
        self.dim, self.n_classes = dim, n_classes
        self.enter = nn.Linear(dim, n_feat)
        self.told = nn.ModuleList(nn.Linear(n_feat, n_feat) for _ in range(n_layers))
        self.layers = nn.ModuleList(nn.Linear(n_feat, n_feat) for _ in range(n_layers))
        self.leave = nn.Linear(n_feat, dim)

    def forward(
        self, x_t: Tensor, c: Tensor, t: Tensor, context_mask: Tensor
    ) -> Tensor:
        """Predict the noise in x_t.

        Args:
            x_t: noisy points, (B, dim) float.
            c: labels, (B,) int64.
            t: times over T, in (0, 1], (B,) or broadcastable to it.
            context_mask: (B,) float, 1 where the label is dropped.

        Returns:
            The predicted noise, (B, dim).

        Raises:
            TypeError: if x_t is no float tensor.
            ValueError: if x_t has another shape.
        """
        _validate.floats("x_t", x_t, (None, self.dim))
        condition = self.condition(c, t, context_mask, _validate.batch("x_t", x_t))
        h = self.enter(x_t.to(dtype_of(self, x_t)))  # (B, n_feat)
        for told, layer in zip(self.told, self.layers, strict=True):
            h = h + layer(F.silu(h + told(condition)))
        return self.leave(F.silu(h))


class ResBlock(nn.Module):
    """Two 3×3 convolutions around a skip; time and label scale and shift between.

    Args:
        n_in: channels coming in.
        n_out: channels going out.
        n_condition: length of the conditioning vector.
    """

    def __init__(self, n_in: int, n_out: int, n_condition: int) -> None:
        super().__init__()
        # 8 groups, where that divides the channels
        self.norm1 = nn.GroupNorm(math.gcd(8, n_in), n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.told = nn.Linear(n_condition, 2 * n_out)
        self.norm2 = nn.GroupNorm(math.gcd(8, n_out), n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.skip = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        # each block starts as its skip, which makes the first steps of training calm
        _zero(self.conv2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x: features, (B, n_in, H, W) float.
            condition: vectors of `Conditioning`, (B, n_condition).

        Returns:
            Features, (B, n_out, H, W).
        """
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.told(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h


class UNet(nn.Module):
    """A small U-Net that predicts the noise in pictures of any size from 4×4.

    Built for speed on a CPU: the picture's pixels are first folded into channels
    (space to depth, `patch`×`patch`), so that no convolution runs at full resolution,
    and memory is laid out channels-last. Sizes that do not divide are padded and cut.

    Args:
        in_channels: channels of the pictures.
        n_feat: channels at the finest level, an even number.
        n_classes: number of classes; 0 ignores the labels.
        patch: side of the squares folded into channels; 1 folds nothing.
        widths: channels of each level as multiples of n_feat, finest first; each level
            has half the resolution of the one before.
        middle: number of blocks at the coarsest level, where a block sees most of the
            picture and costs little, between the way down and the way up.
        null_label: the embedding of "no label" is "learned", or "zero" for ever.

    Raises:
        TypeError: if a number is no int.
        ValueError: if an argument is out of range.

    >>> net = UNet(in_channels=1, n_feat=32, n_classes=10)
    >>> x_t, c = torch.zeros(5, 1, 28, 28), torch.arange(5)
    >>> net(x_t, c, torch.full((5,), 0.5), torch.zeros(5)).shape
    torch.Size([5, 1, 28, 28])
    """

    @_validate.by_name
    def __init__(
        self, in_channels: int = 1, n_feat: int = 32, n_classes: int = 10, *,
        patch: int = 2, widths: tuple[int, ...] = (1, 2), middle: int = 1,
        null_label: str = "learned",
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = _arguments(locals())
        if not widths:
            raise ValueError("widths must name at least one level, got ()")
        self.condition = Conditioning(n_feat, n_classes, null_label)
        self.in_channels, self.patch, self.n_classes = in_channels, patch, n_classes
        channels = [n_feat * _validate.integer("widths", width, 1) for width in widths]
        folded = in_channels * patch**2
        self.enter = nn.Conv2d(folded, channels[0], 3, padding=1)
        first, last = channels[0], channels[-1]
        downs = pairwise([first, *channels])
        ups = pairwise([*channels[::-1], first])
        self.downs = nn.ModuleList(ResBlock(*pair, n_feat) for pair in downs)
        self.middle = nn.ModuleList(ResBlock(last, last, n_feat) for _ in range(middle))
        self.ups = nn.ModuleList(ResBlock(2 * n, n_out, n_feat) for n, n_out in ups)
        self.norm = nn.GroupNorm(math.gcd(8, channels[0]), channels[0])
        self.leave = nn.Conv2d(channels[0], folded, 3, padding=1)
        _zero(self.leave)
        self.to(memory_format=torch.channels_last)

    def forward(
        self, x_t: Tensor, c: Tensor, t: Tensor, context_mask: Tensor
    ) -> Tensor:
        """Predict the noise in x_t.

        Args:
            x_t: noisy pictures, (B, in_channels, H, W) float.
            c: labels, (B,) int64.
            t: times over T, in (0, 1], (B,) or broadcastable to it.
            context_mask: (B,) float, 1 where the label is dropped.

        Returns:
            The predicted noise, (B, in_channels, H, W).

        Raises:
            TypeError: if x_t is no float tensor.
            ValueError: if x_t has another shape.
        """
        _validate.floats("x_t", x_t, (None, self.in_channels, None, None))
        height, width = x_t.shape[2:]
        condition = self.condition(c, t, context_mask, _validate.batch("x_t", x_t))
        unit = self.patch * 2 ** (len(self.downs) - 1)
        x = F.pad(x_t, (0, -width % unit, 0, -height % unit))
        # F.pixel_unshuffle: ONNX exporters up to 2025 mix up the channels of that one
        x = x.unflatten(3, (-1, self.patch)).unflatten(2, (-1, self.patch))
        x = x.permute(0, 2, 4, 1, 3, 5).flatten(3).permute(0, 3, 1, 2)  # channels last
        h = self.enter(x.to(dtype_of(self, x_t)))
        skips = []
        for level, block in enumerate(self.downs):
            h = block(F.avg_pool2d(h, 2) if level else h, condition)
            skips.append(h)
        for block in self.middle:
            h = block(h, condition)
        for level, block in enumerate(self.ups):
            h = F.interpolate(h, scale_factor=2.0) if level else h
            h = block(torch.cat([h, skips.pop()], dim=1), condition)
        h = self.leave(F.silu(self.norm(h)))
        return F.pixel_shuffle(h, self.patch)[:, :, :height, :width]


def _arguments(frame: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor, from its first line's locals()."""
    return {k: v for k, v in frame.items() if k not in ("self", "__class__")}


def _zero(module: nn.Module) -> None:
    """Set all parameters to 0."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
