"""Pixels, grids, films and archives, read back by the libraries that others use."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch.testing import assert_close

from minddpm.app import pictures


def test_black_white_and_what_lies_between_and_beyond() -> None:
    x = torch.tensor([-1.0, 1.0, 0.0, -1.5, 7.0, -0.9999, 0.9999, 1 / 255 - 1e-4])
    pixels = pictures.to_uint8(x.view(1, 1, 2, 4))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (1, 2, 4)
    assert pixels.ravel().tolist() == [0, 255, 128, 0, 255, 0, 255, 128]


def test_every_shade_comes_back() -> None:
    shades = torch.arange(256).float().div(127.5).sub(1).view(1, 1, 16, 16)
    assert pictures.to_uint8(shades).ravel().tolist() == list(range(256))


def test_colours_come_last() -> None:
    x = torch.stack([torch.full((2, 5), v) for v in (-1.0, 0.0, 1.0)])[None]
    pixels = pictures.to_uint8(x)
    assert pixels.shape == (1, 2, 5, 3)
    assert pixels[0, 1, 4].tolist() == [0, 128, 255]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("side", "factor"), [(4, 14), (8, 7), (28, 2), (32, 2), (56, 1), (200, 1)]
)
def test_a_grid_puts_each_picture_in_its_place(
    channels: int, side: int, factor: int
) -> None:
    values = torch.linspace(-1, 1, 7)
    x = values.view(7, 1, 1, 1).expand(7, channels, side, side)
    whole = pictures.grid(x, columns=3)
    cell = factor * side + 2  # with a rim of a pixel
    assert whole.shape == (3 * cell, 3 * cell, *([3] if channels == 3 else []))
    expected = pictures.to_uint8(x)[:, 0, 0]
    for k in range(9):
        row, column = divmod(k, 3)
        part = whole[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        inside = part[1:-1, 1:-1]
        assert (inside == (expected[k] if k < 7 else 64)).all(), k
        for rim in (part[0], part[-1], part[:, 0], part[:, -1]):
            assert (rim == 64).all()


def test_a_grid_keeps_what_is_up_and_what_is_left() -> None:
    x = -torch.ones(1, 1, 8, 8)
    x[0, 0, 0, 7] = 1  # the upper right corner
    whole = pictures.grid(x, columns=1)
    assert whole.shape == (58, 58)
    bright = np.argwhere(whole == 255)
    assert bright.min(0).tolist() == [1, 50]
    assert bright.max(0).tolist() == [7, 56]


def test_one_row_is_as_wide_as_its_columns() -> None:
    assert pictures.grid(torch.zeros(2, 1, 56, 56), columns=5).shape == (58, 5 * 58)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_a_png_is_read_back_bit_by_bit(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    content = pictures.png(pixels)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (30, 20)
        assert image.mode == ("RGB" if len(shape) == 3 else "L")
        assert (np.asarray(image) == pixels).all()


def test_a_gif_has_its_frames_and_plays_for_ever() -> None:
    frames = [np.full((20, 30), 50 * k, dtype=np.uint8) for k in range(5)]
    with Image.open(io.BytesIO(pictures.gif(frames, seconds=1.0))) as film:
        assert (film.format, film.size, film.n_frames) == ("GIF", (30, 20), 5)
        assert film.info["loop"] == 0
        shown = [
            (frame.info["duration"], np.asarray(frame.convert("L")))
            for frame in ImageSequence.Iterator(film)
        ]
    assert [duration for duration, _ in shown] == [200, 200, 200, 200, 2200]
    for expected, (_, pixels) in zip(frames, shown, strict=True):
        assert (pixels == expected).all()


def test_a_gif_in_colour_and_a_gif_of_one_frame() -> None:
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    for frames in ([red], [red, red[..., ::-1].copy()]):
        with Image.open(io.BytesIO(pictures.gif(frames))) as film:
            assert film.n_frames == len(frames)
            assert np.asarray(film.convert("RGB"))[2, 3].tolist() == [255, 0, 0]


def test_a_film_never_flickers_faster_than_browsers_show() -> None:
    frames = [np.full((2, 2), k, dtype=np.uint8) for k in range(250)]
    with Image.open(io.BytesIO(pictures.gif(frames, seconds=1.0))) as film:
        assert film.info["duration"] == 20


def test_no_frame_is_no_film() -> None:
    with pytest.raises(ValueError, match="frames must hold at least one, got none"):
        pictures.gif([])


@pytest.mark.parametrize("channels", [1, 3])
def test_an_archive_says_what_it_promises(tmp_path, channels: int) -> None:
    x = (
        torch.rand(6, channels, 4, 5, generator=torch.Generator().manual_seed(0)) * 2
        - 1
    )
    c = torch.tensor([3, 1, 4, 1, 5, 9])
    path = tmp_path / "x.npz"
    path.write_bytes(pictures.npz(x, c))
    with np.load(path, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["images", "labels"]
        images, labels = arrays["images"], arrays["labels"]
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert images.shape == ((6, 4, 5) if channels == 1 else (6, 4, 5, 3))
    assert labels.tolist() == c.tolist()
    back, labels = pictures.read_npz(path)
    assert back.dtype == torch.float32
    assert_close(back, x, rtol=0, atol=0.5 / 127.5 + 1e-6)
    assert torch.equal(labels, c)
    assert (pictures.to_uint8(back) == images).all()


def test_labels_may_be_left_out(tmp_path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(pictures.npz(torch.zeros(2, 1, 4, 4), None))
    with np.load(path) as arrays:
        assert list(arrays) == ["images"]
    assert pictures.read_npz(path)[1] is None


def archive(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def zipped(name: str, inside: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(name, inside)
    return content.getvalue()


IMAGES = np.zeros((3, 4, 4), np.uint8)
WHOLE = archive(images=IMAGES, labels=np.arange(3))
BAD = {
    "empty": b"",
    "text": b"these are no pictures\n" * 9,
    "a PNG": pictures.png(IMAGES[0]),
    "cut": WHOLE[: len(WHOLE) // 2],
    "its end is lost": WHOLE[:-30],
    "a zip of text": zipped("images.npy", b"text"),
    "a zip of nothing": zipped("images.npy", b""),
    "flipped": WHOLE[:150] + bytes([WHOLE[150] ^ 1]) + WHOLE[151:],
    "no images": archive(pictures=IMAGES),
    "objects": archive(images=np.array([print, None])),
    "labels that are objects": archive(images=IMAGES, labels=np.array([{}, 1, 2])),
    "floats": archive(images=IMAGES / 255),
    "flat": archive(images=IMAGES.reshape(3, 16)),
    "none": archive(images=IMAGES[:0]),
    "two channels": archive(images=np.zeros((3, 4, 4, 2), np.uint8)),
    "a label too few": archive(images=IMAGES, labels=np.arange(2)),
    "labels in words": archive(images=IMAGES, labels=np.array(["a", "b", "c"])),
    "labels in halves": archive(images=IMAGES, labels=np.array([0.5, 1.0, 2.0])),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_what_is_no_archive_of_pictures_is_refused_by_name(tmp_path, content) -> None:
    path = tmp_path / "these.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"these\.npz") as caught:
        pictures.read_npz(path)
    assert "\n" not in str(caught.value)


def test_an_array_alone_is_refused(tmp_path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    with pytest.raises(ValueError, match=r"x\.npy holds no pictures .*minddpm sample"):
        pictures.read_npz(tmp_path / "x.npy")


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        pictures.read_npz(tmp_path / "nothing.npz")


X = torch.zeros(2, 1, 4, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pictures.to_uint8(X[0]), ValueError, "x must have shape"),
        (lambda: pictures.to_uint8(X.long()), TypeError, "x must be a float tensor"),
        (
            lambda: pictures.to_uint8(X.expand(2, 2, 4, 4)),
            ValueError,
            "channels, got 2",
        ),
        (lambda: pictures.grid(X, 0), ValueError, "columns must be at least 1, got 0"),
        (lambda: pictures.grid(X, 2.0), TypeError, r"columns must be an int, got 2\.0"),
    ],
)
def test_bad_calls_are_refused(call, error, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
