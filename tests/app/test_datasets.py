"""The data sets that torchvision knows, and what happens when they cannot be had."""

import gzip
import hashlib
import http.client
import io
import os
import pickle
import re
import socket
import struct
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from minddpm import data
from minddpm.app import datasets as ours

pytest.importorskip("torchvision")

TRAIN, TEST = 30, 20  # images of the small stand-ins for the real data sets
RAW = Path("MNIST/raw")


# --- stand-ins: small data sets, and a network that never leaves this process --------


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail a test that tries to reach the network."""
    reached = []

    def refuse(*args, **kwargs):
        reached.append(args)
        raise OSError("the tests are offline")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not reached


@pytest.fixture
def small(monkeypatch):
    """Make 30 + 20 images a complete data set."""
    for name in ("mnist", "fashion_mnist", "cifar10"):
        source = ours._SOURCES[name]._replace(sizes=(TRAIN, TEST))
        monkeypatch.setitem(ours._SOURCES, name, source)


def idx(values: np.ndarray) -> bytes:
    """Write uint8 values in the format of the MNIST files."""
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return head + values.astype(np.uint8).tobytes()


def mnist_files(seed: int = 0) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    files = {}
    for half, n in (("train", TRAIN), ("t10k", TEST)):
        files[f"{half}-images-idx3-ubyte"] = idx(rng.integers(256, size=(n, 28, 28)))
        files[f"{half}-labels-idx1-ubyte"] = idx(np.arange(n) % 10)
    return files


def write_mnist(root: Path, **changed: bytes) -> Path:
    """Write the small MNIST below root; `changed` replaces files by their short names.

    The short name of train-images-idx3-ubyte is train_images.
    """
    folder = root / RAW
    folder.mkdir(parents=True)
    for file, content in mnist_files().items():
        short = "_".join(file.split("-")[:2])
        (folder / file).write_bytes(changed.pop(short, content))
    assert not changed
    return folder


def listing(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Return all below a folder: files with size and time of writing, and folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.stat()
        entry = None if path.is_dir() else (stat.st_size, stat.st_mtime_ns)
        found[str(path)] = entry
    return found


class Response:
    """What urlopen returns: content in small chunks, perhaps an error on the way."""

    def __init__(self, url: str, content: bytes, breaks: BaseException | None):
        self.url, self.length, self.breaks = url, len(content), breaks
        self.content = io.BytesIO(content)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def read(self, size: int) -> bytes:
        if self.breaks and self.content.tell():
            raise self.breaks
        return self.content.read(min(size, 1000))


class Network:
    """A stand-in for the internet.

    Attributes:
        files: content by file name; other names are not found.
        opens: raised at every request, unless None.
        breaks: raised after the first 1,000 bytes of every file, unless None.
        timeouts: the default time limit of sockets at each request.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.opens: BaseException | None = None
        self.breaks: BaseException | None = None
        self.timeouts: list[float | None] = []

    def urlopen(self, request, *args, **kwargs):
        self.timeouts.append(socket.getdefaulttimeout())
        if self.opens:
            raise self.opens
        url = request.full_url
        content = self.files.get(url.rsplit("/", 1)[1])
        if content is None:
            raise urllib.error.HTTPError(url, 404, "Not Found", None, None)
        return Response(url, content, self.breaks)


@pytest.fixture
def network(monkeypatch):
    """A network that serves the small MNIST, with checksums to match."""
    from torchvision import datasets

    network = Network()
    network.files = {f"{f}.gz": gzip.compress(c) for f, c in mnist_files().items()}
    monkeypatch.setattr(urllib.request, "urlopen", network.urlopen)

    def trust(files: dict[str, bytes]):
        pairs = [(f, hashlib.md5(c).hexdigest()) for f, c in files.items()]
        monkeypatch.setattr(datasets.MNIST, "resources", pairs)

    network.trust = trust
    trust(network.files)
    return network


# --- where the data are --------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "root"),
    [
        ({"MINDDPM_DATA": "{}/a", "XDG_CACHE_HOME": "{}/b"}, "a"),
        ({"MINDDPM_DATA": "~/a"}, "a"),
        ({"MINDDPM_DATA": "", "XDG_CACHE_HOME": "{}/b"}, "b/minddpm"),
        ({"XDG_CACHE_HOME": ""}, ".cache/minddpm"),
        ({}, ".cache/minddpm"),
    ],
)
def test_root_comes_from_the_environment(variables, root, tmp_path, monkeypatch, small):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("MINDDPM_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    write_mnist(tmp_path / root)
    assert data.load("mnist")[0].shape == (TRAIN, 1, 28, 28)


def test_without_a_home_folder_the_cure_is_named(monkeypatch):
    pwd = pytest.importorskip("pwd")

    def unknown(number):
        raise KeyError(number)

    for name in ("HOME", "MINDDPM_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(RuntimeError, match=r"'mnist': there is no root .* MINDDPM_"):
        data.load("mnist")


def test_root_argument_goes_first_and_knows_the_home_folder(
    tmp_path, monkeypatch, small
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("MINDDPM_DATA", str(tmp_path / "elsewhere"))
    write_mnist(tmp_path / "mine")
    for root in ("~/mine", tmp_path / "mine", str(tmp_path / "mine")):
        assert len(data.load("mnist", root=root, download=False)[0]) == TRAIN


# --- what is on the disk -------------------------------------------------------------


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", 0)])
def test_mnist_from_disk(name, folder, tmp_path, small):
    write_mnist(tmp_path)
    if not folder:
        (tmp_path / "MNIST").rename(tmp_path / "FashionMNIST")
    for split, half, n in (("train", "train", TRAIN), ("test", "t10k", TEST)):
        images, labels = data.load(name, split, tmp_path)
        grey = np.frombuffer(mnist_files()[f"{half}-images-idx3-ubyte"][16:], np.uint8)
        expected = torch.tensor(grey.astype(np.float64)).reshape(n, 1, 28, 28)
        assert_close(images.double(), expected / 127.5 - 1, rtol=0, atol=1e-7)
        assert images.dtype == torch.float32
        assert images.is_contiguous()
        assert images.min() == -1
        assert images.max() == 1
        assert torch.equal(labels, torch.arange(n) % 10)
    both = [data.load(name, split, tmp_path) for split in ("train", "test")]
    images, labels = data.load(name, "all", tmp_path)
    assert_close(images, torch.cat([both[0][0], both[1][0]]), rtol=0, atol=0)
    assert torch.equal(labels, torch.cat([both[0][1], both[1][1]]))


def cifar_files(monkeypatch) -> tuple[dict[str, bytes], np.ndarray]:
    """Return a small CIFAR-10, for which torchvision's checksums are replaced."""
    from torchvision import datasets

    rng = np.random.default_rng(0)
    grey = rng.integers(256, size=(TRAIN + TEST, 3072)).astype(np.uint8)
    labels = np.arange(TRAIN + TEST) % 10
    cuts = np.split(np.arange(TRAIN + TEST), range(6, TRAIN + 1, 6))
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    files = {
        name: pickle.dumps({"data": grey[rows], "labels": labels[rows].tolist()})
        for name, rows in zip(names, cuts, strict=True)
    }
    files["batches.meta"] = pickle.dumps({"label_names": list("abcdefghij")})
    sums = [[name, hashlib.md5(content).hexdigest()] for name, content in files.items()]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[5:6])
    meta = {**datasets.CIFAR10.meta, "md5": sums[6][1]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return files, grey.reshape(-1, 3, 32, 32)


def test_cifar10_from_disk(tmp_path, monkeypatch, small):
    files, grey = cifar_files(monkeypatch)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    before = listing(tmp_path)
    expected = torch.tensor(grey.astype(np.float64)) / 127.5 - 1
    parts = {"train": slice(TRAIN), "test": slice(TRAIN, None), "all": slice(None)}
    for split, part in parts.items():
        images, labels = data.load("cifar10", split, tmp_path)
        assert_close(images.double(), expected[part], rtol=0, atol=1e-7)
        assert images.dtype == torch.float32
        assert images.is_contiguous()
        assert torch.equal(labels, torch.arange(TRAIN + TEST)[part] % 10)
    (folder / "data_batch_3").write_bytes(files["data_batch_3"][:-1])
    with pytest.raises(RuntimeError, match="batches-py is unreadable or damaged"):
        data.load("cifar10", "train", tmp_path)
    assert listing(tmp_path).keys() == before.keys()


def test_read_only_root_is_read_and_nothing_else(tmp_path, monkeypatch, small):
    folder = write_mnist(tmp_path)
    before = listing(tmp_path)

    def refuse(*args, **kwargs):  # the superuser may write where chmod says no
        raise AssertionError("something was about to be written")

    for module, name in (
        (os, "mkdir"),
        (os, "makedirs"),
        (os, "replace"),
        (tempfile, "mkdtemp"),
    ):
        monkeypatch.setattr(module, name, refuse)
    for file in folder.iterdir():
        file.chmod(0o444)
    for place in (folder, folder.parent, tmp_path):
        place.chmod(0o555)
    try:
        assert len(data.load("mnist", "all", tmp_path)[0]) == TRAIN + TEST
    finally:
        for place in (tmp_path, folder.parent, folder):
            place.chmod(0o755)
    assert listing(tmp_path) == before


IMAGES = mnist_files()["train-images-idx3-ubyte"]
LABELS = np.arange(TRAIN) % 10


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"train_images": IMAGES[:-1]}, "RuntimeError: shape"),
        ({"train_images": IMAGES[:16]}, "Error"),
        ({"train_images": IMAGES[:7]}, "Error"),
        ({"train_images": b""}, "Error"),
        ({"train_images": b"<!DOCTYPE html> proxy says no" * 99}, "Error"),
        ({"train_images": gzip.compress(IMAGES)}, "Error"),
        ({"train_images": IMAGES + b"more"}, "RuntimeError: shape"),
        (
            {"train_images": idx(np.zeros((TRAIN - 1, 28, 28)))},
            re.escape(
                "the train images must be uint8, (30, 1, 28, 28), got "
                "torch.uint8 of shape (29, 1, 28, 28)"
            ),
        ),
        ({"train_images": idx(np.zeros((TRAIN, 28, 27)))}, r"\(30, 1, 28, 27\)"),
        ({"train_images": idx(LABELS)}, "ValueError: x should have 3 dimension"),
        ({"train_labels": idx(LABELS[:-1])}, "the train labels must be 30 numbers"),
        ({"train_labels": idx(LABELS)[:-1]}, "RuntimeError: shape"),
        (
            {"train_labels": idx(LABELS + 1)},
            r"labels must be 30 numbers, all of 0…9 among them, got 30: \[1, 2, 3",
        ),
        ({"train_labels": idx(LABELS * 0)}, r"got 30: \[0\]"),
    ],
)
@pytest.mark.parametrize("download", [True, False])
def test_damaged_files_are_refused_and_left_alone(
    changed, reason, download, tmp_path, small, network
):
    folder = write_mnist(tmp_path, **changed)
    before = listing(tmp_path)
    with pytest.raises(RuntimeError) as caught:
        data.load("mnist", "train", tmp_path, download)
    message = str(caught.value)
    assert message.startswith(f"could not load 'mnist': {folder} is unreadable or")
    assert "delete it to download it again" in message
    assert "load('digits')" in message
    assert "MINDDPM_DATA" in message
    assert re.search(reason, message)
    assert "\n" not in message
    assert listing(tmp_path) == before
    assert not network.timeouts  # nothing was fetched
    assert (
        len(data.load("mnist", "test", tmp_path)[0]) == TEST
    )  # the other half is fine


def test_sizes_are_those_of_the_real_data_sets(tmp_path):
    write_mnist(tmp_path)  # well-formed, but far too small
    with pytest.raises(RuntimeError, match=r"\(60000, 1, 28, 28\).*\(30, 1, 28, 28\)"):
        data.load("mnist", "train", tmp_path)
    with pytest.raises(RuntimeError, match=r"\(10000, 1, 28, 28\).*\(20, 1, 28, 28\)"):
        data.load("mnist", "test", tmp_path)
    assert ours._SOURCES["fashion_mnist"].sizes == (60_000, 10_000)
    assert ours._SOURCES["cifar10"].sizes == (50_000, 10_000)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_absent_and_not_to_be_downloaded(name, tmp_path, network):
    root = tmp_path / "absent"
    place = root / ours._SOURCES[name].folder
    with pytest.raises(RuntimeError) as caught:
        data.load(name, root=root, download=False)
    message = str(caught.value)
    assert message.startswith(
        f"could not load '{name}': not in {place}, and download=False"
    )
    assert "To proceed, set MINDDPM_DATA (or root) to a folder that holds" in message
    assert "or use load('digits')" in message
    assert not network.timeouts
    assert not root.exists()


def test_message_names_the_missing_file(tmp_path, small):
    (write_mnist(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(RuntimeError, match=r"\(FileNotFoundError: no t10k-labels-idx1"):
        data.load("mnist", root=tmp_path, download=False)


# --- downloads -----------------------------------------------------------------------


def test_download_keeps_what_it_fetched(tmp_path, small, network):
    root = tmp_path / "new" / "root"
    images, labels = data.load("mnist", "train", root)
    assert images.shape == (TRAIN, 1, 28, 28)
    assert torch.equal(labels, torch.tensor(LABELS))
    assert {p.name for p in (root / RAW).iterdir()} == set(mnist_files())
    assert [p.name for p in root.iterdir()] == ["MNIST"]
    asked = len(network.timeouts)
    again = data.load("mnist", "train", root)
    assert_close(again[0], images, rtol=0, atol=0)
    assert len(network.timeouts) == asked


def test_download_completes_a_partial_folder(tmp_path, small, network):
    folder = write_mnist(tmp_path, t10k_images=b"cut off")
    (folder / "train-images-idx3-ubyte").unlink()
    assert len(data.load("mnist", "all", tmp_path)[0]) == TRAIN + TEST
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == mnist_files()


@pytest.mark.parametrize("state", ["whole", "garbage"])
def test_archives_in_the_root_are_used_if_they_are_whole(
    state, tmp_path, small, network
):
    folder = tmp_path / RAW
    folder.mkdir(parents=True)
    for name, content in network.files.items():
        whole = state == "whole" or "images" not in name
        (folder / name).write_bytes(content if whole else b"\x1f\x8b garbage")
    before = listing(tmp_path)
    network.opens = urllib.error.URLError("no route to host")
    if state == "whole":
        assert len(data.load("mnist", "all", tmp_path)[0]) == TRAIN + TEST
        assert not network.timeouts
    else:
        with pytest.raises(RuntimeError, match="no route to host"):
            data.load("mnist", "all", tmp_path)
    after = listing(tmp_path)
    assert {name: after[name] for name in before if name.endswith(".gz")} == {
        name: entry for name, entry in before.items() if name.endswith(".gz")
    }
    assert len(after) == len(before) + (4 if state == "whole" else 0)


def test_cifar10_archive_in_the_root_is_used(tmp_path, monkeypatch, small, network):
    from torchvision import datasets

    files, grey = cifar_files(monkeypatch)
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in {**files, "readme.html": b"hello"}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    checksum = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", checksum)
    images, _ = data.load("cifar10", "all", tmp_path)
    assert_close(((images + 1) * 127.5).round().byte(), torch.tensor(grey))
    assert not network.timeouts
    folder = tmp_path / "cifar-10-batches-py"
    assert {p.name for p in folder.iterdir()} == set(files)


OPENING = [
    urllib.error.URLError("Name or service not known"),
    urllib.error.HTTPError("http://x", 503, "Slow Down", None, None),
    ConnectionResetError(104, "Connection reset by peer"),
    ConnectionRefusedError(111, "Connection refused"),
    TimeoutError("timed out"),
    http.client.RemoteDisconnected("Remote end closed connection"),
    http.client.BadStatusLine("<html>"),
]
READING = [
    ConnectionResetError(104, "Connection reset by peer"),
    http.client.IncompleteRead(b"1234567", 1000),
    TimeoutError("The read operation timed out"),
    OSError(28, "No space left on device"),
]


def kind(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("error", OPENING, ids=kind)
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_network_that_does_not_answer(name, error, tmp_path, network):
    network.opens = error
    check_failed_download(tmp_path, network, name)


@pytest.mark.parametrize("error", READING, ids=kind)
def test_network_that_breaks_on_the_way(error, tmp_path, network):
    network.breaks = error
    check_failed_download(tmp_path, network, reason=re.escape(str(error)))


@pytest.mark.parametrize(
    "content", [b"", b"<html>Log in first</html>", b"\x1f\x8b" * 9]
)
def test_network_that_sends_something_else(content, tmp_path, network):
    network.files = dict.fromkeys(network.files, content)
    check_failed_download(tmp_path, network, reason="File not found or corrupted")


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_archive_that_does_not_unpack(cut, tmp_path, small, network):
    network.files = {f: c[:cut] for f, c in network.files.items()}
    network.trust(network.files)
    check_failed_download(tmp_path, network)


def test_archive_of_something_else(tmp_path, network):
    # Every checksum is right, but 30 images are no MNIST: `small` is not in force.
    check_failed_download(tmp_path, network, reason=r"\(60000, 1, 28, 28\)")


def test_only_the_last_file_fails(tmp_path, small, network):
    del network.files["t10k-labels-idx1-ubyte.gz"]
    check_failed_download(tmp_path, network, reason="404")


def check_failed_download(
    tmp_path: Path, network: Network, name: str = "mnist", reason: str = ""
) -> None:
    """Require the one RuntimeError, the old time limit, and no trace on the disk."""
    from torchvision import datasets

    for root in (tmp_path / "absent", tmp_path / "there", tmp_path / "partial"):
        folder = root / ours._SOURCES[name].folder
        if root.name == "there":
            root.mkdir()
        if root.name == "partial":
            folder.mkdir(parents=True)
            (folder / ours._SOURCES[name].files[0]).write_bytes(b"half")
        before = listing(tmp_path)
        with pytest.raises(RuntimeError) as caught:
            data.load(name, root=root)
        message = str(caught.value)
        assert (
            f"could not load '{name}': not in {folder}, and the download from"
            in message
        )
        cls = getattr(datasets, ours._SOURCES[name].dataset)
        for url in getattr(cls, "mirrors", None) or [cls.url]:
            assert url in message
        assert "MINDDPM_DATA" in message
        assert "load('digits')" in message
        assert re.search(reason, message)
        assert "\n" not in message
        assert listing(tmp_path) == before
    assert socket.getdefaulttimeout() is None


def test_time_limit_is_set_for_the_download_only(tmp_path, small, network):
    socket.setdefaulttimeout(7)
    try:
        data.load("mnist", root=tmp_path)
        assert set(network.timeouts) == {20.0}
        assert socket.getdefaulttimeout() == 7
        network.opens = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            data.load("mnist", root=tmp_path / "other")
        assert socket.getdefaulttimeout() == 7
    finally:
        socket.setdefaulttimeout(None)


@pytest.mark.parametrize("where", ["opens", "breaks"])
def test_interrupted_download_leaves_nothing(where, tmp_path, small, network):
    setattr(network, where, KeyboardInterrupt())
    for root in (tmp_path / "absent", tmp_path):
        with pytest.raises(KeyboardInterrupt):
            data.load("mnist", root=root)
        assert not listing(tmp_path)
    setattr(network, where, None)
    assert len(data.load("mnist", root=tmp_path)[0]) == TRAIN  # nothing in the way


@pytest.mark.parametrize("ends", [KeyboardInterrupt(), OSError("disk full"), None])
def test_interrupted_unpacking_is_not_taken_for_good(
    ends, tmp_path, monkeypatch, small, network
):
    """All four files are there, which is all that torchvision looks at, but cut off."""
    from torchvision.datasets import mnist

    def unpack(url, download_root, filename, md5):
        for file, content in mnist_files().items():
            (Path(download_root) / file).write_bytes(content[:-5])
        if ends:
            raise ends

    monkeypatch.setattr(mnist, "download_and_extract_archive", unpack)
    with pytest.raises((RuntimeError, KeyboardInterrupt)) as caught:
        data.load("mnist", root=tmp_path)
    assert (caught.type is KeyboardInterrupt) == isinstance(ends, KeyboardInterrupt)
    assert not listing(tmp_path)
    with pytest.raises(RuntimeError, match="download=False"):
        data.load("mnist", root=tmp_path, download=False)


def test_root_that_cannot_be_written(tmp_path, network):
    root = tmp_path / "a file"
    root.write_text("not a folder")
    with pytest.raises(RuntimeError, match="NotADirectoryError"):
        data.load("mnist", root=root)
    assert root.read_text() == "not a folder"
    assert not network.timeouts


def test_disk_that_cannot_be_written(tmp_path, monkeypatch, network):
    def refuse(*args, **kwargs):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(RuntimeError, match=r"PermissionError.*Read-only file system"):
        data.load("mnist", root=tmp_path)
    assert not listing(tmp_path)
    assert not network.timeouts


# --- the real MNIST ------------------------------------------------------------------


@pytest.fixture
def mnist_root():
    beside = Path(__file__).resolve().parents[3] / "shared" / "mnist"
    root = Path(os.environ.get("MINDDPM_DATA") or beside).expanduser()
    if not (root / RAW / "train-images-idx3-ubyte").is_file():
        pytest.skip(f"no MNIST in {root}; set MINDDPM_DATA to a folder that has it")
    return root


def test_real_mnist(mnist_root):
    images, labels = data.load("mnist", "train", mnist_root, download=False)
    assert images.shape == (60_000, 1, 28, 28)
    assert images.dtype == torch.float32
    assert images.min() == -1
    assert images.max() == 1
    grey = (images + 1) / 2
    assert_close(grey.mean(), torch.tensor(0.1307), rtol=0, atol=1e-4)
    assert_close(grey.std(), torch.tensor(0.3081), rtol=0, atol=2e-4)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert labels.bincount().tolist() == counts
    images, labels = data.load("mnist", "test", mnist_root, download=False)
    assert images.shape == (10_000, 1, 28, 28)
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert labels.bincount().tolist() == counts
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
