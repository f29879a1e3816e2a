"""From weights to files of pictures."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import minddpm
from minddpm import DDPM, MLP, Schedule, UNet, ancestral, ddim
from minddpm import sample as drain
from minddpm.app import drawing, pictures


def model(channels: int = 1, n_classes: int = 4, T: int = 10) -> DDPM:
    """A network that looks at the label: its weights are random, none of them 0."""
    net, generator = UNet(channels, 8, n_classes), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.1, generator=generator)
        if n_classes:
            net.condition.label.weight.mul_(20)
    return DDPM(net, schedule=Schedule.cosine(T), prediction="v").eval()


@pytest.fixture
def weights(tmp_path) -> Path:
    minddpm.save(tmp_path / "w", model(), shape=[1, 8, 8])
    return tmp_path / "w"


def made(weights: Path, ending: str = "npz", **options) -> bytes:
    out = weights.with_name(f"out.{ending}")
    drawing.generate(weights, out, **options)
    return out.read_bytes()


def arrays(weights: Path, **options) -> tuple[np.ndarray, np.ndarray]:
    with np.load(io.BytesIO(made(weights, **options)), allow_pickle=False) as file:
        return file["images"], file["labels"]


def by_hand(n: int, c: list[int], seed: int, sampler: str, w: float) -> np.ndarray:
    """Draw over all steps, where "ddpm" is Algorithm 2."""
    generator = torch.Generator().manual_seed(seed)
    x_T, labels = torch.randn(n, 1, 8, 8, generator=generator), torch.tensor(c)
    walk = (
        ddim(model(), x_T, labels, steps=10, w=w, clip_x0=1.0)
        if sampler == "ddim"
        else ancestral(model(), x_T, labels, w=w, clip_x0=1.0, generator=generator)
    )
    return pictures.to_uint8(drain(walk)).astype(int)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
@pytest.mark.parametrize("w", [0.0, 2.0])
def test_it_draws_what_the_samplers_draw(weights, sampler: str, w: float) -> None:
    images, labels = arrays(weights, n=6, seed=7, sampler=sampler, w=w, steps=10)
    assert labels.tolist() == [0, 1, 2, 3, 0, 1]
    assert images.dtype == np.uint8
    # one level of grey, where two ways to the same number are rounded apart
    apart = np.abs(images - by_hand(6, labels.tolist(), 7, sampler, w))
    assert apart.max() <= 1
    assert (apart == 0).mean() > 0.99


def test_few_steps_of_either_sampler(weights) -> None:
    few, fewer = (arrays(weights, n=4, steps=k, sampler="ddpm")[0] for k in (5, 2))
    assert (few != fewer).any()
    assert (few != arrays(weights, n=4, steps=5, sampler="ddim")[0]).any()


def test_few_steps_lie_closer_together_near_T() -> None:
    x_T = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for T, times in ((100, [100, 94, 83, 62]), (5, [5, 4, 3, 1]), (4, [4, 3, 2, 1])):
        walk = drawing.walk(model(T=T), x_T, torch.arange(4), steps=4)
        assert [step.t for step in walk] == times


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(None, [0, 1, 2, 3, 0, 1, 2]), ([3, 1], [3, 1, 3, 1, 3, 1, 3]), ([2], [2] * 7)],
)
def test_labels_go_round(weights, labels, expected: list[int]) -> None:
    got = arrays(weights, n=7, labels=labels, steps=2)[1]
    assert got.dtype == np.int64
    assert got.tolist() == expected


def test_labels_seed_guidance_and_sampler_each_matter(weights) -> None:
    options = {"n": 6, "labels": [1, 2], "seed": 3, "w": 0.5, "sampler": "ddim"}
    first = arrays(weights, **options)[0]
    assert (arrays(weights, **options)[0] == first).all()
    for other in ({"labels": [2, 1]}, {"seed": 4}, {"w": 3.0}, {"sampler": "ddpm"}):
        assert (arrays(weights, **(options | other))[0] != first).any(), other
    # ancestral sampling depends on nothing but the seed either
    one, other = (arrays(weights, n=3, sampler="ddpm", seed=5)[0] for _ in range(2))
    assert (one == other).all()


def test_the_global_generator_is_left_alone(weights) -> None:
    before = torch.get_rng_state()
    made(weights, n=3, sampler="ddpm")
    assert torch.equal(torch.get_rng_state(), before)


def test_many_are_drawn_in_parts(weights, monkeypatch) -> None:
    """The same pictures, but for rounding: batches of other sizes sum otherwise."""
    whole, labels = arrays(weights, n=11, seed=1, sampler="ddim")
    monkeypatch.setattr(drawing, "_BATCH", 4)
    parts, same = arrays(weights, n=11, seed=1, sampler="ddim")
    assert labels.tolist() == same.tolist()
    assert np.abs(whole.astype(int) - parts.astype(int)).max() <= 1
    assert arrays(weights, n=11, sampler="ddpm")[0].shape == (11, 8, 8)


def test_without_classes_there_are_no_labels(tmp_path) -> None:
    minddpm.save(tmp_path / "w", model(n_classes=0), shape=[1, 8, 8])
    with np.load(io.BytesIO(made(tmp_path / "w", n=3))) as file:
        assert list(file) == ["images"]
        assert file["images"].shape == (3, 8, 8)
    with pytest.raises(ValueError, match="w must be 0 without labels"):
        made(tmp_path / "w", n=3, w=1.0)


def test_colours(tmp_path) -> None:
    minddpm.save(tmp_path / "w", model(channels=3), shape=[3, 8, 12])
    assert arrays(tmp_path / "w", n=2, steps=2)[0].shape == (2, 8, 12, 3)
    for ending in ("png", "gif"):
        with Image.open(
            io.BytesIO(made(tmp_path / "w", ending, n=2, steps=2))
        ) as image:
            assert image.size == (4 * (7 * 12 + 2), 7 * 8 + 2)


@pytest.mark.parametrize(
    ("labels", "n", "columns", "rows"),
    [(None, 8, 4, 2), ([1, 3], 5, 2, 3), ([2], 13, 10, 2), ([2], 3, 3, 1)],
)
def test_a_png_has_a_column_a_class(weights, labels, n, columns, rows) -> None:
    content = made(weights, "png", n=n, labels=labels, steps=3, seed=2)
    images, _ = arrays(weights, n=n, labels=labels, steps=3, seed=2)
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("PNG", (58 * columns, 58 * rows))
        pixels = np.asarray(image)
    for k in range(n):
        row, column = divmod(k, columns)
        assert (
            pixels[58 * row + 1 : 58 * row + 57 : 7, 58 * column + 1 :: 7][:, :8]
            == images[k]
        ).all()


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 4), ("ddpm", None)])
def test_a_gif_goes_from_noise_to_pictures(weights, sampler: str, steps) -> None:
    options = {"n": 4, "seed": 6, "sampler": sampler, "steps": steps}
    with Image.open(io.BytesIO(made(weights, "gif", **options))) as film:
        assert (film.format, film.size) == ("GIF", (4 * 58, 58))
        assert film.info["loop"] == 0
        assert film.n_frames == (steps or 10) + 1  # the noise first; T is 10
        first = np.asarray(film.convert("L"))
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("L"))
    x_T = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(6))
    assert (first == pictures.grid(x_T, 4)).all()
    with Image.open(io.BytesIO(made(weights, "png", **options))) as image:
        assert (last == np.asarray(image)).all()


@pytest.mark.parametrize("T", [49, 50, 99, 100, 120])
def test_a_film_has_at_most_50_frames(tmp_path, T: int) -> None:
    minddpm.save(tmp_path / "w", model(T=T), shape=[1, 8, 8])
    options = {"n": 1, "labels": [0], "steps": T}
    content = made(tmp_path / "w", "gif", **options)
    with Image.open(io.BytesIO(content)) as film:
        assert 25 <= film.n_frames <= 50


def test_11_steps_are_taken_or_as_many_as_there_are(tmp_path) -> None:
    for T in (7, 60):
        minddpm.save(tmp_path / "w", model(T=T), shape=[1, 8, 8])
        usual = arrays(tmp_path / "w", n=2)[0]
        assert (usual == arrays(tmp_path / "w", n=2, steps=min(T, 11))[0]).all()
        assert (usual != arrays(tmp_path / "w", n=2, steps=5)[0]).any()


def test_the_folder_of_a_run_will_do(tmp_path, weights) -> None:
    (tmp_path / "run").mkdir()
    weights.rename(tmp_path / "run" / "model.safetensors")
    drawing.generate(tmp_path / "run", tmp_path / "x.npz", n=2)
    assert pictures.read_npz(tmp_path / "x.npz")[0].shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"labels": [0, 4]}, r"labels must be in 0…3 for n_classes = 4, got 4"),
        ({"labels": [-1]}, r"labels must be in 0…3 for n_classes = 4, got -1"),
        ({"sampler": "euler"}, "sampler must be one of ddim, ddpm; got 'euler'"),
        ({"sampler": "ddim", "steps": 11}, r"steps must be in 1…10, got 11"),
        ({"steps": 0}, "steps must be in 1…10, got 0"),
        ({"steps": 11}, "steps must be in 1…10, got 11"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"w": float("nan")}, "w must be finite, got nan"),
        ({"ending": "jpg"}, r"ending of out must be .* \.npz; got '\.jpg'"),
        ({"ending": "PNG.zip"}, r"ending of out must be .* got '\.zip'"),
    ],
)
def test_bad_calls_leave_no_file(weights, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(weights, **options)
    assert [path.name for path in weights.parent.iterdir()] == ["w"]


def test_more_labels_than_pictures_are_checked_all_the_same(weights) -> None:
    with pytest.raises(ValueError, match="labels must be in 0…3"):
        made(weights, n=1, labels=[0, 9])


def test_labels_for_a_model_without_any_are_refused(tmp_path) -> None:
    minddpm.save(tmp_path / "w", model(n_classes=0), shape=[1, 8, 8])
    with pytest.raises(ValueError, match="labels"):
        made(tmp_path / "w", n=2, labels=[3])


def test_weights_of_points_make_no_pictures(tmp_path) -> None:
    minddpm.save(tmp_path / "w", DDPM(MLP(2, 8), n_T=5))
    with pytest.raises(
        ValueError, match="w does not say which shape its pictures have"
    ):
        made(tmp_path / "w")
