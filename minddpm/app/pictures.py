"""Pictures in files: grids, films, and arrays of numbers."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minddpm import _validate

_SIDE = 56  # pixels, at least, of one picture in a grid


def to_uint8(x: Tensor) -> np.ndarray:
    """Turn samples into pixels: −1 is black, 1 is white, what lies beyond is cut.

    Args:
        x: pictures, (N, C, H, W) float, about in [−1, 1]; C is 1 or 3.

    Returns:
        Pixels, (N, H, W) for C = 1, else (N, H, W, C), uint8.

    Raises:
        TypeError: if x is no float tensor.
        ValueError: if x has another shape.
    """
    _validate.floats("x", x, (None, None, None, None))
    if x.shape[1] not in (1, 3):
        raise ValueError(f"x must have 1 or 3 channels, got {x.shape[1]}")
    pixels = ((x + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8)
    return (pixels[:, 0] if x.shape[1] == 1 else pixels.permute(0, 2, 3, 1)).numpy()


def grid(x: Tensor, columns: int = 10) -> np.ndarray:
    """Lay pictures out in rows, each enlarged by a whole factor if it is small.

    Args:
        x: pictures, (N, C, H, W) float, about in [−1, 1].
        columns: how many in a row.

    Returns:
        Pixels of the whole, (H, W) or (H, W, 3) uint8.

    Raises:
        TypeError: if x is no float tensor, or columns no int.
        ValueError: if a shape or a number is wrong.
    """
    columns = _validate.integer("columns", columns, 1)
    pixels = to_uint8(x)
    factor = max(1, round(_SIDE / pixels.shape[1]))
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    around = [(0, -len(pixels) % columns), (1, 1), (1, 1)]
    around += [(0, 0)] * (pixels.ndim - 3)
    pixels = np.pad(pixels, around, constant_values=64)
    rows = pixels.reshape(-1, columns, *pixels.shape[1:])
    return np.concatenate(np.concatenate(rows.swapaxes(0, 1), axis=2), axis=0)


def png(pixels: np.ndarray) -> bytes:
    """Return pixels as the content of a PNG file.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.

    Returns:
        The content.
    """
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def gif(frames: Sequence[np.ndarray], seconds: float = 4.0) -> bytes:
    """Return frames as the content of a GIF file that plays over and over.

    Args:
        frames: at least one, each (H, W) or (H, W, 3) uint8.
        seconds: how long the film takes; the last frame stays for two more.

    Returns:
        The content.

    Raises:
        ValueError: if there is no frame.
    """
    from PIL import Image

    if not frames:
        raise ValueError("frames must hold at least one, got none")
    first, *rest = (Image.fromarray(frame) for frame in frames)
    each = max(20, round(1000 * seconds / len(frames)))  # ms; browsers slow down below
    content = io.BytesIO()
    durations = [each] * len(rest) + [each + 2000]
    first.save(
        content,
        "GIF",
        save_all=True,
        append_images=rest,
        duration=durations if rest else each,
        loop=0,
    )
    return content.getvalue()


def npz(x: Tensor, labels: Tensor | None) -> bytes:
    """Return samples as the content of a NumPy archive.

    Args:
        x: pictures, (N, C, H, W) float, about in [−1, 1].
        labels: (N,) int64; None leaves them out.

    Returns:
        The content, with `images`, (N, H, W) or (N, H, W, C) uint8, and `labels`, (N,)
        int64.
    """
    content, images = io.BytesIO(), to_uint8(x)
    if labels is None:
        np.savez_compressed(content, images=images)
    else:
        np.savez_compressed(content, images=images, labels=labels.cpu().numpy())
    return content.getvalue()


def read_npz(path: str | Path) -> tuple[Tensor, Tensor | None]:
    """Read what `npz` made.

    Args:
        path: the file.

    Returns:
        Pictures, (N, C, H, W) float32 in [−1, 1], and labels, (N,) int64 or None.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it holds something else.
    """
    content = io.BytesIO(Path(path).read_bytes())
    try:
        arrays = np.load(content, allow_pickle=False)
        images, labels = np.asarray(arrays["images"]), arrays.get("labels")
    except Exception as error:  # a damaged archive can raise anything
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"{path} holds no pictures ({what}); `minddpm sample --out x.npz` makes one"
        ) from None
    if (
        images.dtype != np.uint8
        or images.size == 0
        or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3)))
    ):
        raise ValueError(
            f"images of {path} must be (N, H, W) or (N, H, W, C) uint8 with 1 or 3 "
            f"channels, got {images.shape} {images.dtype}"
        )
    x = torch.from_numpy(images).float().div_(127.5).sub_(1)
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
    if labels is None:
        return x, None
    labels = np.asarray(labels)
    if labels.shape != (len(x),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels of {path} must be ({len(x)},) integers, got {labels.shape} "
            f"{labels.dtype}"
        )
    return x, torch.from_numpy(labels.astype(np.int64))
