"""Pictures of one's own: what is read of a folder, and what is refused in a line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import minddpm
from app.shared import environment
from minddpm import TrainConfig, data, load_checkpoint
from minddpm.__main__ import main
from minddpm.app import evaluation, files, folders, presets
from minddpm.app.classifier import Classifier

pytest.importorskip("torchvision")


def pixels(seed: int = 0, size: tuple[int, ...] = (6, 9, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=size).astype(np.uint8)


def put(path: Path, image: np.ndarray | Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)
    return path


def read(folder: Path, **options) -> np.ndarray:
    """The pixels of the one picture, (H, W, C)."""
    (x,), c = data.load(f"folder:{folder}", "all", **options)
    assert c is None
    return ((x + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


@pytest.fixture
def pets(tmp_path) -> Path:
    """Eleven cats and five dogs, 6×9 in colour."""
    for k in range(11):
        put(tmp_path / "pets" / "cats" / f"{k:02}.png", pixels(k))
    for k in range(5):
        put(tmp_path / "pets" / "dogs" / f"{k}.PNG", pixels(20 + k))
    return tmp_path / "pets"


# --- what is read ---------------------------------------------------------------------


def test_sub_folders_are_classes_and_every_fifth_of_a_class_is_there_to_test(
    pets,
) -> None:
    assert folders.classes(pets) == ["cats", "dogs"]
    expected = torch.tensor(np.stack([pixels(k) for k in [*range(11), *range(20, 25)]]))
    expected = expected.permute(0, 3, 1, 2).double() / 127.5 - 1
    labels = torch.tensor(11 * [0] + 5 * [1])
    tested = [4, 9, 15]
    rows = {"all": range(16), "test": tested}
    rows["train"] = [k for k in range(16) if k not in tested]
    for split, chosen in rows.items():
        x, c = data.load(f"folder:{pets}", split)
        assert (x.dtype, c.dtype, x.is_contiguous()) == (x.dtype, torch.int64, True)
        torch.testing.assert_close(x.double(), expected[[*chosen]], rtol=0, atol=1e-6)
        assert torch.equal(c, labels[[*chosen]])


def test_one_class_one_picture_and_none_of_either(tmp_path) -> None:
    put(tmp_path / "a" / "only" / "x.jpg", pixels(), quality=95)
    x, c = data.load(f"folder:{tmp_path / 'a'}")
    assert (x.shape, c.tolist()) == ((1, 3, 6, 9), [0])
    assert len(data.load(f"folder:{tmp_path / 'a'}", "test")[0]) == 0
    put(tmp_path / "b" / "x.jpeg", pixels())
    x, c = data.load(f"folder:{tmp_path / 'b'}")
    assert (x.shape, c) == ((1, 3, 6, 9), None)


def test_hidden_things_and_other_files_are_left_alone_and_links_followed(pets) -> None:
    before = data.load(f"folder:{pets}", "all")
    (pets / "cats" / "._00.png").write_bytes(b"of another system")
    (pets / "cats" / "notes.txt").write_text("none of ours")
    (pets / ".ipynb_checkpoints").mkdir()
    (pets / "README.md").write_text("none of ours")
    (pets / "dogs").rename(pets.parent / "elsewhere")
    (pets / "dogs").symlink_to(pets.parent / "elsewhere", target_is_directory=True)
    target = (pets / "cats" / "00.png").rename(pets.parent / "cat")
    (pets / "cats" / "00.png").symlink_to(target)
    for one, other in zip(before, data.load(f"folder:{pets}", "all"), strict=True):
        assert torch.equal(one, other)


GREY, COLOUR = pixels(1, (6, 9)), pixels(2)


def turned() -> dict[str, object]:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90° to the right
    return {"image": np.rot90(COLOUR).copy(), "exif": exif}


def see_through() -> np.ndarray:
    """Colour where it is opaque, and something else that must not be seen."""
    alpha = np.where(np.arange(9) < 5, 255, 0) * np.ones((6, 1))
    return np.dstack([COLOUR, alpha]).astype(np.uint8)


WHITE_AFTER_5 = np.where(np.arange(9)[None, :, None] < 5, COLOUR, 255)
FEW = COLOUR // 128 * 255  # eight colours
KINDS = {
    "grey": ({"image": GREY}, GREY[..., None]),
    "colour": ({"image": COLOUR}, COLOUR),
    "grey in three channels": ({"image": np.dstack(3 * [GREY])}, GREY[..., None]),
    "black and white": (
        {"image": Image.fromarray(GREY > 99)},
        ((GREY > 99) * 255)[..., None],
    ),
    "palette": ({"image": Image.fromarray(FEW).quantize(8)}, FEW),
    "16 bits": (
        {"image": Image.fromarray(GREY.astype(np.uint16) * 257)},
        GREY[..., None],
    ),
    "transparent": ({"image": see_through()}, WHITE_AFTER_5),
    "turned": (turned(), COLOUR),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_files(tmp_path, kind: str) -> None:
    put(tmp_path / "x.png", **KINDS[kind][0])
    assert np.array_equal(read(tmp_path), KINDS[kind][1])


def test_colours_of_printing_and_of_a_transparent_palette(tmp_path) -> None:
    plain = np.full((6, 9, 3), (200, 30, 60), np.uint8)
    for mode in ("CMYK", "YCbCr"):
        image = Image.fromarray(plain).convert(mode)
        put(tmp_path / mode / "x.jpg", image, quality=100)
        off = read(tmp_path / mode).astype(int) - plain
        assert abs(off).max() <= 3
    image = Image.fromarray(FEW).quantize(8)
    clear = image.getpixel((0, 0))
    put(tmp_path / "P" / "x.png", image, transparency=clear)
    index = np.asarray(image)[..., None]
    expected = np.where(index == clear, 255, FEW)
    assert np.array_equal(read(tmp_path / "P"), expected)


def test_grey_or_colour_is_what_is_there_or_what_is_asked_for(tmp_path) -> None:
    put(tmp_path / "a.png", GREY)
    assert read(tmp_path).shape == (6, 9, 1)
    assert np.array_equal(read(tmp_path, channels=3), np.dstack(3 * [GREY]))
    put(tmp_path / "b.png", COLOUR)
    x, _ = data.load(f"folder:{tmp_path}", "all")
    assert x.shape == (2, 3, 6, 9)
    x, _ = data.load(f"folder:{tmp_path}", "all", channels=1)
    luma = COLOUR @ [0.299, 0.587, 0.114]
    assert abs((x[1, 0].numpy() + 1) * 127.5 - luma).max() <= 1


def test_a_size_scales_until_it_is_covered_and_cuts_out_the_middle(tmp_path) -> None:
    wide = np.zeros((40, 100), np.uint8)
    wide[:, 30:70] = np.arange(40)[:, None] * 5  # the middle square, dark to light
    put(tmp_path / "x.png", wide)
    small = read(tmp_path, size=10)[..., 0]
    assert small.shape == (10, 10)
    means = wide[:, 50].reshape(10, 4).mean(1)  # antialiased: no row is a single one
    assert abs(small[1:-1, 2:-2] - means[1:-1, None]).max() <= 3
    assert read(tmp_path, size=(8, 20)).shape == (8, 20, 1)
    assert np.array_equal(read(tmp_path, size=[40, 100]), wide[..., None])


# --- what is refused ------------------------------------------------------------------


def refused(folder: Path, message: str, error: type = ValueError, **options) -> str:
    with pytest.raises(error, match=message) as caught:
        data.load(f"folder:{folder}", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folders_without_pictures_and_with_both_are_refused(pets) -> None:
    (pets / "birds").mkdir()
    refused(pets, r"birds must hold pictures, .* got none in 0 files; remove the class")
    (pets / "birds").rmdir()
    put(pets / "loose.png", pixels())
    refused(pets, r"both: 1 pictures \(such as loose.png\) beside cats; move")
    (pets / "loose.png").unlink()
    put(pets / "cats" / "young" / "x.png", pixels())
    refused(pets, r"cats, a class, must hold pictures only, got the folder young; to")
    (pets.parent / "empty").mkdir()
    refused(pets.parent / "empty", r"empty must hold pictures, .* none in 0 files$")
    refused(pets.parent / "nowhere", "nowhere", FileNotFoundError)
    refused(pets / "dogs" / "0.PNG", "0.PNG", NotADirectoryError)


def test_sizes_that_differ_are_named_and_cured(pets) -> None:
    put(pets / "dogs" / "tall.png", pixels(0, (7, 9, 3)))
    said = refused(pets, r"must be of one size, .* got 6×9 \(16, such as cats/00.png\)")
    assert "7×9 (1, such as dogs/tall.png); --size H W, size=(H, W)" in said
    assert data.load(f"folder:{pets}", "all", size=(6, 9))[0].shape == (17, 3, 6, 9)
    put(pets.parent / "large" / "x.png", pixels(0, (4, 300)))
    refused(pets.parent / "large", r"at most 256 pixels .* got 4×300 \(1, such as x")


def test_broken_files_are_listed_and_left_out_only_when_asked_for(pets) -> None:
    whole = data.load(f"folder:{pets}", "all")
    content = (pets / "cats" / "03.png").read_bytes()
    for k in range(12):
        (pets / "cats" / f"a{k:02}.png").write_bytes(content[: 5 * k])
    said = refused(pets, "be readable, got 12 of 28 that cannot: cats/a00.png")
    assert "cats/a09.png" in said
    assert "a10.png" not in said
    assert "--skip-broken, skip_broken=True" in said
    kept = data.load(f"folder:{pets}", "all", skip_broken=True)
    for one, other in zip(whole, kept, strict=True):
        assert torch.equal(one, other)
    for path in (pets / "dogs").iterdir():
        path.write_bytes(b"")
    refused(pets, "must have a readable picture, got none in dogs", skip_broken=True)
    for path in (pets / "cats").iterdir():
        path.write_bytes(b"")
    refused(pets, "got 28 of 28 that cannot", skip_broken=True)


def test_more_than_16_bits_are_refused(tmp_path) -> None:
    put(tmp_path / "x.tif", Image.fromarray(GREY.astype(np.float32)))
    refused(tmp_path, r"x\.tif \(its pixels have more than 16 bits\)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 3}, r"size must be in 4…256, got 3"),
        ({"size": (8, 8, 8)}, r"size must be \(height, width\) or an int"),
        ({"size": "8x8"}, r"size must be \(height, width\) or an int"),
        ({"channels": 2}, "channels must be 1, 3 or None, got 2"),
    ],
)
def test_bad_options_are_refused(tmp_path, options: dict, message: str) -> None:
    put(tmp_path / "x.png", pixels())
    refused(tmp_path, message, **options)


def test_options_are_for_folders() -> None:
    with pytest.raises(ValueError, match="options must be left out but for a folder"):
        data.load("digits", size=8)
    with pytest.raises(ValueError, match=r"name must be one of .*, folder:PATH, got"):
        data.load("folder:")


# --- memory ---------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's peak of memory")
def test_pictures_are_never_twice_in_memory_as_floats(tmp_path) -> None:
    """2,000 links to one picture of 3×64×64: 94 MiB as floats, and 24 MiB as bytes."""
    one = put(tmp_path / "one.bmp", pixels(0, (64, 64, 3)))
    (tmp_path / "many").mkdir()
    for k in range(2000):
        (tmp_path / "many" / f"{k}.bmp").symlink_to(one)
    source = (
        "import resource, sys, torch\n"
        "from minddpm import DDPM, UNet, TrainConfig, data\n"
        "from minddpm.train import train\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "def go(name): train(DDPM(UNet(3, 8, 0), n_T=5), data.load(name, 'all'),\n"
        "    TrainConfig(steps=1, batch_size=2), progress=False)\n"
        "go(f'folder:{sys.argv[1]}/few'); before = peak()\n"
        "go(f'folder:{sys.argv[1]}/many'); print(peak() - before)"
    )
    put(tmp_path / "few" / "x.bmp", pixels(0, (64, 64, 3)))
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 94 + 2 * 24 + 10


# --- from the command line ------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch, tmp_path) -> None:
    """Train a small network for six steps, and read with one that was not fitted."""
    config = TrainConfig(steps=6, batch_size=4, warmup=3)
    preset = presets.Preset({"n_feat": 8}, 10, "v", config)
    monkeypatch.setattr(presets, "PRESETS", dict.fromkeys(presets.PRESETS, preset))
    monkeypatch.setattr("minddpm.app.runs.suited", lambda images: preset)
    monkeypatch.setattr(
        evaluation, "fit_classifier", lambda real: Classifier(3, 2).eval()
    )
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("quick")
def test_train_sample_and_evaluate(pets, capsys, monkeypatch, tmp_path) -> None:
    train = ["train", "--data", "pets", "--out", "run"]
    assert main([*train, "--steps", "3", "--size", "5", "7", "--seed", "1"]) == 0
    told = "/pets: 13 pictures of 3×5×7 to learn from; 2 classes, cats, dogs\n"
    assert told in capsys.readouterr().err
    about = files.read("run/state.safetensors")[1]["about"]
    assert about["data"] == f"folder:{pets}"
    assert (about["classes"], about["pictures"]) == (["cats", "dogs"], 13)
    assert (
        files.read("run/model.safetensors")[1]["about"]["classes"] == about["classes"]
    )
    with Image.open("run/samples.png") as grid:
        assert grid.size[0] < grid.size[1]  # a column a class
    monkeypatch.chdir(tmp_path.parent)
    run = str(tmp_path / "run")
    assert main(["train", "--out", run, "--resume", "--steps", "5"]) == 0
    again = ["train", "--data", str(pets), "--out", run, "--resume", "--steps", "6"]
    assert main([*again, "--size", "5", "7"]) == 0
    assert load_checkpoint(f"{run}/state.safetensors")[1].step == 6
    monkeypatch.chdir(tmp_path)
    sample = ["sample", "--weights", "run", "--n", "5", "--steps", "2"]
    assert main([*sample, "--labels", "dogs,cats", "--out", "x.npz"]) == 0
    with np.load("x.npz") as arrays:
        assert arrays["images"].shape == (5, 5, 7, 3)
        assert arrays["labels"].tolist() == [1, 0, 1, 0, 1]
    capsys.readouterr()
    assert main(["evaluate", "x.npz", "--data", "pets"]) == 0
    assert "n = 3 " in capsys.readouterr().out
    assert main(["evaluate", "x.npz", "--data", "pets/dogs"]) == 1
    assert "test pictures of folder:" in (said := capsys.readouterr().err)
    assert "must be at least 2 to compare with, every fifth of a class, got 1" in said


@pytest.mark.usefixtures("quick")
def test_what_is_not_as_it_was_is_not_resumed(pets, capsys) -> None:
    train = ["train", "--out", "run", "--steps"]
    assert main([*train, "2", "--data", "pets"]) == 0
    capsys.readouterr()

    def refuses(message: str, *more: str) -> None:
        assert main([*train, "4", "--resume", *more]) == 1
        assert message in capsys.readouterr().err

    refuses("options must be {} to resume", "--size", "5", "5")
    refuses(f"data must be folder:{pets} to resume", "--data", "digits")
    put(pets / "dogs" / "z.png", pixels())
    refuses("pictures must be 13 to resume the training in run, got 14")
    (pets / "dogs" / "z.png").unlink()
    (pets / "dogs").rename(pets / "wolves")
    refuses("classes must be ['cats', 'dogs'] to resume")


@pytest.mark.usefixtures("quick")
def test_pictures_without_classes(pets, capsys) -> None:
    assert main(["train", "--out", "run", "--data", "pets/cats"]) == 0
    assert "9 pictures of 3×6×9 to learn from; no classes" in capsys.readouterr().err
    assert minddpm.load("run").n_classes == 0
    sample = ["sample", "--weights", "run", "--n", "4", "--steps", "2"]
    assert main([*sample, "--out", "x.npz"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "x.npz", "--data", "pets/cats"]) == 0
    shown = capsys.readouterr().out
    assert "no labels  no labels" in shown
    assert "without classes, the distance is that of 4×4 pixels" in shown
    assert main([*sample, "--labels", "cats"]) == 1
    assert "labels must be left out, run knows none" in capsys.readouterr().err


def test_a_preset_is_chosen_by_size_and_number() -> None:
    def suited(n: int, *shape: int) -> presets.Preset:
        return presets.suited(torch.empty(1).expand(n, *shape))

    known = presets.PRESETS
    assert suited(1442, 1, 8, 8) == presets.replace(
        known["digits"],
        network={"n_feat": 32, "patch": 2},
        config=presets.replace(known["digits"].config, steps=600),
    )
    assert suited(400, 3, 20, 33).network == known["mnist"].network | {"patch": 2}
    assert suited(60_000, 1, 28, 28).config == known["mnist"].config
    assert suited(50_000, 3, 32, 32).network == known["cifar10"].network | {"patch": 2}
    steps = [suited(n, 1, 28, 28).config.steps for n in (1, 400, 1000, 10**6)]
    assert steps == [1000, 1250, 3125, 6000]
    patches = [suited(9, 3, s, 20).network["patch"] for s in (40, 41, 80, 128, 256)]
    assert patches == [2, 4, 4, 8, 16]
