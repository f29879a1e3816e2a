"""Pictures of one's own, in a folder whose sub-folders are the classes.

    images, labels = data.load("folder:pets", size=(32, 32))

They are decoded by PIL, as torchvision's own `ImageFolder` does it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minddpm import _validate, data
from minddpm._validate import Labels

_LARGEST = 256  # pixels on a side; from more than that nothing here learns


def load(
    path: str | os.PathLike[str],
    split: str = "train",
    *,
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
    skip_broken: bool = False,
) -> tuple[Tensor, Labels]:
    """Read the pictures of a folder: what `data.load("folder:PATH", …)` does.

    The formats are those of torchvision's `ImageFolder`, PNG and JPEG among them.
    Hidden files, and files of other kinds, are left alone. Pictures are turned as their
    EXIF data say, 16-bit grey becomes 8-bit, and what is transparent becomes white.

    Args:
        path: the folder. Its sub-folders, in alphabetical order, are the classes; where
            there are none, pictures have no labels.
        split: "test" is every fifth picture of a class in alphabetical order, "train"
            are the others, "all" is both.
        size: (height, width), or an int for a square, from 4 to 256: each picture is
            scaled until it covers that, and its middle is cut out. None takes them as
            they are, if all are of one size.
        channels: 3 is colour, 1 is grey; None is grey if all pictures are.
        skip_broken: leave out what cannot be read.

    Returns:
        The images, (N, C, H, W) float32 in [−1, 1], and their labels, (N,) int64, or
        None where there are no classes.

    Raises:
        TypeError: if size is no int or pair of them.
        ValueError: if a picture cannot be read, the sizes differ, a class or the folder
            is empty, or an argument is out of range.
        OSError: if the folder cannot be read.
    """
    pixels, labels = _read(Path(os.path.expanduser(path)), size, channels, skip_broken)
    chosen = data.of_split(labels, split)
    pixels = pixels[chosen]  # the others go before floats take four times the memory
    images = pixels.to(torch.float32, memory_format=torch.contiguous_format)
    images.div_(127.5).sub_(1)
    return images, labels[chosen] if classes(path) else None


def classes(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the classes that a folder has, label 0 first.

    Args:
        path: the folder.

    Returns:
        The names of its sub-folders, in alphabetical order, but for hidden ones.

    Raises:
        OSError: if the folder cannot be read.
    """
    return [
        entry.name for entry in _seen(Path(os.path.expanduser(path))) if entry.is_dir()
    ]


def describe(name: str, images: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be remembered of pictures that were learned from.

    Args:
        name: "folder:PATH".
        images: what was read of it, (N, C, H, W).
        options: how it was read.

    Returns:
        Their number and shape, the names of the classes, and the options, as JSON.
    """
    names, shape = classes(name.partition(":")[2]), [*images.shape[1:]]
    told = {"classes": names, "pictures": len(images), "shape": shape}
    return told | {"options": options}


def tell(about: dict[str, Any]) -> str:
    """Return what is remembered of pictures as a line to read.

    Args:
        about: what `describe` returned, and the name as "data".

    Returns:
        The line.
    """
    shape, names = "×".join(map(str, about["shape"])), about["classes"]
    labels = f"{len(names)} classes, {', '.join(names[:20])}" if names else "no classes"
    learned = f"{about['pictures']} pictures of {shape} to learn from"
    return f"{about['data'].partition(':')[2]}: {learned}; {labels}"


def _seen(folder: Path) -> list[Path]:
    """Return what is in a folder, in alphabetical order, but for hidden things."""
    seen = (entry for entry in folder.iterdir() if entry.name[0] != ".")
    return sorted(seen, key=lambda entry: entry.name)


def _files(folder: Path) -> list[tuple[Path, int]]:
    """Return the files of pictures, class after class, and their labels."""
    from torchvision.datasets.folder import is_image_file

    names, found = classes(folder), []
    for label, place in enumerate([folder / name for name in names] or [folder]):
        seen = _seen(place)
        pictures = [path for path in seen if is_image_file(path.name)]
        if deeper := [path.name for path in seen if names and path.is_dir()]:
            got, cure = f"the folder {deeper[0]}", f"to have it as a class name {place}"
            _validate.fail(f"{place}, a class,", "hold pictures only", got, cure)
        if not pictures:
            got = f"none in {len(seen)} files" + ("; remove the class" if names else "")
            _validate.fail(str(place), "hold pictures, such as .png or .jpg", got)
        found += [(path, label) for path in pictures]
    if names and (loose := [p for p in _seen(folder) if is_image_file(p.name)]):
        got = f"both: {len(loose)} pictures (such as {loose[0].name}) beside {names[0]}"
        cure = "move the pictures into a class, or away"
        _validate.fail(str(folder), "hold pictures or classes, not both", got, cure)
    return found


def _read(
    folder: Path, size: Any, channels: int | None, skip_broken: bool
) -> tuple[Tensor, Tensor]:
    """Return all pictures, (N, C, H, W) uint8, and the numbers of their folders."""
    from tqdm.auto import tqdm

    if size is not None:
        size = [size, size] if isinstance(size, int) else size
        if not isinstance(size, Sequence) or len(size) != 2:
            _validate.fail("size", "be (height, width) or an int", repr(size))
        size = [_validate.integer("size", side, 4, _LARGEST) for side in size]
    if channels not in (None, 1, 3):
        _validate.fail("channels", "be 1, 3 or None", repr(channels))
    files, broken = _files(folder), []
    pixels: Any = np.empty(0, np.uint8)  # (N, H, W, 3), once the size is known
    labels: list[int] = []
    sizes: dict[str, list[str]] = {}  # names of the pictures of each
    for path, label in tqdm(files, desc="reading", delay=1):
        name = str(path.relative_to(folder))
        try:
            picture = _decoded(path, size)
        except Exception as error:  # whatever a parser comes up with: it is listed
            broken.append(f"{name} ({' '.join(str(error).split())[:60]})")
            continue
        height, width = picture.shape[:2]
        sizes.setdefault(f"{height}×{width}", []).append(name)
        if len(sizes) == 1 and max(height, width) <= _LARGEST:  # else in vain
            if not labels:
                pixels = np.empty((len(files), *picture.shape), np.uint8)
            pixels[len(labels)] = picture
            labels.append(label)
    if broken and not (skip_broken and sizes):
        got = f"{len(broken)} of {len(files)} that cannot: {', '.join(broken[:10])}"
        cure = "mend or remove them, or leave them out: --skip-broken, skip_broken=True"
        _validate.fail(f"pictures of {folder}", "be readable", got, cure)
    if len(sizes) > 1 or not labels:
        most = sorted(sizes.items(), key=lambda item: -len(item[1]))[:10]
        got = ", ".join(f"{n} ({len(own)}, such as {own[0]})" for n, own in most)
        rule = f"be of one size, of at most {_LARGEST} pixels on a side"
        cure = "--size H W, size=(H, W), scales and cuts them"
        _validate.fail(f"pictures of {folder}", rule, got, cure)
    if gone := {label for _, label in files} - {*labels}:
        got = f"none in {classes(folder)[min(gone)]}"
        _validate.fail(f"each class of {folder}", "have a readable picture", got)
    pixels = pixels[: len(labels)]
    if channels is None:
        grey = all((picture == picture[..., :1]).all() for picture in pixels)
        channels = 1 if grey else 3
    if channels == 1:
        pixels = np.stack([_grey(picture) for picture in pixels])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.tensor(labels)


def _decoded(path: Path, size: Sequence[int] | None) -> np.ndarray:
    """Return the pixels of a file, (H, W, 3) uint8."""
    from PIL import Image, ImageOps

    with Image.open(path) as file:
        image: Any = ImageOps.exif_transpose(file)
        if image.mode == "F" or (image.mode == "I" and file.format == "TIFF"):
            raise ValueError("its pixels have more than 16 bits")
    if image.mode[0] == "I":  # 16 bits, which PIL would cut at 255
        values = np.asarray(image, dtype=np.float64)
        image = Image.fromarray((values / 257).round().astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if size is not None:
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _grey(picture: np.ndarray) -> np.ndarray:
    """Return (H, W, 1) uint8 of (H, W, 3)."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).convert("L"))[..., None]


def _load(
    path: str, split: str, root: Any, download: bool, **options: Any
) -> tuple[Tensor, Labels]:
    return load(path, split, **options)


data.READERS["folder:PATH"] = _load
