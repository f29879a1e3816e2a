"""Files: what is written comes back bit by bit, what is damaged is refused."""

import errno
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as serialise

import minddpm
from app.shared import NETWORKS, SCHEDULES, assert_equal, environment, randomised, small
from minddpm import DDPM, Schedule, UNet, load_checkpoint
from minddpm.app import files

# --- models ---------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
def test_a_model_comes_back_bit_by_bit(tmp_path, network, prediction: str) -> None:
    for name, schedule in SCHEDULES.items():
        ddpm = DDPM(
            randomised(network()),
            drop_prob=0.3,
            schedule=schedule,
            prediction=prediction,
        )
        minddpm.save(tmp_path / name, ddpm)
        before = torch.get_rng_state()
        loaded = minddpm.load(tmp_path / name)
        assert torch.equal(torch.get_rng_state(), before)
        assert not loaded.training
        assert_equal(ddpm, loaded)


def test_the_tables_that_work_are_the_ones_that_are_kept(tmp_path) -> None:
    """Also where they came with the weights of a model with another schedule."""
    kinds = Schedule.linear(20, 1e-3, 0.3), Schedule.cosine(20)
    ddpm, other = (DDPM(randomised(NETWORKS["UNet"]()), schedule=s) for s in kinds)
    assert not torch.equal(ddpm.betas, other.betas)
    ddpm.load_state_dict(other.state_dict())
    minddpm.save(tmp_path / "a", ddpm)
    for one in (ddpm, minddpm.load(tmp_path / "a")):
        assert torch.equal(one.schedule.alpha_bars, kinds[1].alpha_bars)
        assert_equal(other, one)


def test_shipped_weights_are_of_version_1_and_are_read() -> None:
    _, header = files.read(files.find("mnist"))
    assert header["version"] == 1
    ddpm = minddpm.load("mnist")
    assert (ddpm.n_T, ddpm.n_classes, ddpm.prediction) == (400, 10, "v")
    assert torch.equal(ddpm.schedule.alpha_bars, Schedule.cosine(400).alpha_bars)


def test_what_is_said_about_a_model_is_kept(tmp_path) -> None:
    minddpm.save(tmp_path / "a", small(), data="digits", shape=[1, 8, 8])
    _, header = files.read(tmp_path / "a")
    assert header["about"] == {"data": "digits", "shape": [1, 8, 8]}
    assert header["version"] == files.VERSION


def test_a_model_is_found_by_file_folder_and_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "SHIPPED", tmp_path / "shipped")
    ddpm = small()
    for folder in ("run", "shipped"):
        (tmp_path / folder).mkdir()
    minddpm.save("run/model.safetensors", ddpm)
    minddpm.save("shipped/toy.safetensors", ddpm)
    for name in ("run/model.safetensors", Path("run/model.safetensors"), "run", "toy"):
        assert_equal(ddpm, minddpm.load(name))
    # a name is a name even where a folder is called so
    (tmp_path / "toy").mkdir()
    assert_equal(ddpm, minddpm.load("toy"))
    for name in ("nothing", "run/nothing", "shipped"):
        with pytest.raises(FileNotFoundError, match=f"no weights at {name}.* toy$"):
            minddpm.load(name)


@pytest.mark.parametrize("where", ["toy", "toy/model.safetensors"])
def test_a_name_with_two_meanings_is_refused(tmp_path, monkeypatch, where) -> None:
    """A file or a run of one's own that is called as shipped weights are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "SHIPPED", tmp_path / "shipped")
    own, shipped = small(), DDPM(NETWORKS["MLP"](), n_T=3)
    for path in (where, "shipped/toy.safetensors"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
    minddpm.save(where, own)
    minddpm.save("shipped/toy.safetensors", shipped)
    message = refusal(lambda: minddpm.load("toy"))
    assert message.startswith(f"toy names {where} in this folder and weights that come")
    assert "\n" not in message
    mine, theirs = message.split("; say ")[1].split(" or ")
    assert_equal(own, minddpm.load(mine))
    assert_equal(own, minddpm.load("./toy"))
    assert_equal(own, minddpm.load(tmp_path / "toy"))
    assert_equal(shipped, minddpm.load(theirs))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("network", ["MLP", "UNet"])
def test_a_model_of_any_dtype_comes_back_in_it(tmp_path, network: str, dtype) -> None:
    """The whole of it, or only its network."""
    ddpm = DDPM(randomised(NETWORKS[network]()), schedule=SCHEDULES["own"]).to(dtype)
    part = DDPM(randomised(NETWORKS[network]()).to(dtype), schedule=SCHEDULES["own"])
    for one in (ddpm, part):
        minddpm.save(tmp_path / "a", one)
        assert_equal(one, minddpm.load(tmp_path / "a"))


def test_files_do_not_depend_on_the_default_dtype(tmp_path) -> None:
    ddpm = small()
    minddpm.save(tmp_path / "a", ddpm)
    torch.set_default_dtype(torch.float64)
    try:
        minddpm.save(tmp_path / "b", ddpm)
        loaded, made = minddpm.load(tmp_path / "a"), small()
        shipped = minddpm.load("mnist")
        minddpm.save(tmp_path / "c", made)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_equal(ddpm, loaded)
    assert {p.dtype for p in shipped.parameters()} == {torch.float32}
    assert_equal(ddpm, minddpm.load(tmp_path / "b"))
    assert_equal(made, minddpm.load(tmp_path / "c"))
    assert {p.dtype for p in made.parameters()} == {torch.float64}


def test_weights_of_several_dtypes_are_refused_with_the_cure(tmp_path) -> None:
    ddpm = small()
    ddpm.nn_model.leave.bfloat16()
    rule = (
        r"nn_model must have weights of one dtype, got torch\.bfloat16, torch\.float32"
    )
    with pytest.raises(ValueError, match=rule + r"; cast it, as with ddpm\.float\(\)"):
        minddpm.save(tmp_path / "a", ddpm)
    assert list(tmp_path.iterdir()) == []


def test_compiled_models_are_kept_as_they_were_made(tmp_path) -> None:
    """By function, by method, or only the network; nothing is compiled until called."""
    ddpm = small()
    by_method = small()
    by_method.compile()
    of_compiled = small()
    of_compiled.nn_model = torch.compile(of_compiled.nn_model)
    for one in (torch.compile(small()), by_method, of_compiled):
        minddpm.save(tmp_path / "a", one)
        assert_equal(ddpm, minddpm.load(tmp_path / "a"))


def test_what_is_told_may_be_numbers_of_numpy_and_any_text(tmp_path) -> None:
    told = {
        "accuracy": np.float32(0.5),
        "count": np.int64(3),
        "right": np.bool_(True),
        "row": np.arange(3.0),
        "loss": torch.tensor(0.25),
        "nested": {"a": [np.float64(1.5), (2, None)]},
        "file": "caf\udce9",  # as Python names a file whose name is not Unicode
        "half": "\ud83d",
    }
    minddpm.save(tmp_path / "a", small(), **told)
    about = files.read(tmp_path / "a")[1]["about"]
    assert about == {
        "accuracy": 0.5,
        "count": 3,
        "right": True,
        "row": [0.0, 1.0, 2.0],
        "loss": 0.25,
        "nested": {"a": [1.5, [2, None]]},
        "file": "caf\udce9",
        "half": "\ud83d",
    }
    cycle: list[object] = []
    cycle.append(cycle)
    for value in (object(), {1, 2}, Path("a"), b"a", {(1, 2): 3}, 1j, cycle):
        with pytest.raises(
            TypeError, match="note must be text, numbers, lists and dict"
        ):
            minddpm.save(tmp_path / "b", small(), note=value)
    assert not (tmp_path / "b").exists()


def test_a_device_that_is_not_there_is_refused_by_its_name() -> None:
    message = refusal(lambda: minddpm.load("mnist", device="cuda:99"))
    assert message.startswith(
        "device must name a device of this machine, got 'cuda:99'"
    )
    assert "\n" not in message


def test_a_network_of_ones_own_is_refused_with_the_cure(tmp_path) -> None:
    class Own(torch.nn.Module):
        pass

    class MLP(minddpm.MLP):
        """One of ours by name, but what it computes is not in the file."""

    for net in (Own(), MLP()):
        with pytest.raises(
            TypeError, match=r"nn_model must be one of MLP, UNet .*keep its state_dict"
        ):
            minddpm.save(tmp_path / "a", DDPM(net))
    assert list(tmp_path.iterdir()) == []


# --- damage ---------------------------------------------------------------------------


class Trap:
    """What pickle would run on loading."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def signed(tensors: dict[str, torch.Tensor], text: str) -> bytes:
    """A file with any header, and a checksum that fits it."""
    digest = files._digest(tensors, text)
    return serialise(tensors, {"minddpm": text, "sha256": digest})


def headed(header: bytes, rest: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + rest


def damages(tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """100 files that are none: flipped bits, cut ends, forgeries and traps."""
    minddpm.save(tmp_path / "whole", small(), data="digits")
    whole = (tmp_path / "whole").read_bytes()
    tensors, header = files.read(tmp_path / "whole")
    start = 8 + int.from_bytes(whole[:8], "little")  # of the weights
    digest = whole.index(header_digest := b'"sha256":"') + len(header_digest)
    rng = random.Random(0)

    def flipped(low: int, high: int) -> bytes:
        content, at = bytearray(whole), rng.randrange(low, high)
        content[at] ^= 1 << rng.randrange(8)
        return bytes(content)

    for place, low, high, n in (
        ("the size", 0, 8, 6),
        ("the header", 8, start, 24),
        ("the checksum", digest, digest + 64, 5),
        ("the weights", start, len(whole), 15),
    ):
        for k in range(n):
            yield f"bit {k} of {place}", flipped(low, high)
    for k in range(10):
        yield f"cut {k}", whole[: rng.randrange(1, len(whole))]
    yield "cut by a byte", whole[:-1]
    yield "the header alone", whole[:start]
    yield "empty", b""
    yield "a byte more", whole + b"\0"
    yield "twice", 2 * whole
    yield "two files in one", whole[: start + 40] + whole[start:-40]
    yield "zeros in place of the weights", whole[:start] + bytes(len(whole) - start)
    yield "zeros", bytes(1000)
    yield "noise", rng.randbytes(2000)
    yield "text", b"These are the weights that you were looking for.\n"
    yield "a PNG", b"\x89PNG\r\n\x1a\n" + whole[8:]
    yield "a pickle", pickle.dumps(Trap(tmp_path / "marker"))
    torch.save({"weights": Trap(tmp_path / "marker")}, tmp_path / "torch")
    yield "a file of torch.save", (tmp_path / "torch").read_bytes()
    yield "a pickle in a header", headed(pickle.dumps(Trap(tmp_path / "marker")))
    trap = pickle.dumps(Trap(tmp_path / "marker"), 0).decode()
    yield "a pickle in our header", signed(tensors, trap)
    yield "foreign", serialise(tensors)
    yield "foreign, told", serialise(tensors, {"format": "pt"})
    yield "foreign, no checksum", serialise(tensors, {"minddpm": "{}"})
    yield "no tensors", serialise({}, {"minddpm": "{}", "sha256": "0"})
    for size in (2**63, 2**64 - 1, len(whole), 10**8, 0):
        yield f"size {size}", struct.pack("<Q", size) + whole[8:]
    deep = "[" * 100_000 + "]" * 100_000
    yield "deep", headed(deep.encode())
    yield "deep in a key", headed(b'{"__metadata__":' + deep.encode() + b"}")
    yield "deep in ours", signed(tensors, deep)
    yield "deep in ours and open", signed(tensors, '{"a":' * 100_000)
    yield "a number of 100 000 digits", signed(tensors, "9" * 100_000)
    yield (
        "half a letter",
        headed(
            b'{"__metadata__":{"minddpm":"{\\"version\\":1,\\"a\\":\\"\\ud800\\"}",'
            b'"sha256":"0"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
            b"0",
        ),
    )
    for text in ("null", "[]", "7", '"text"', "{}", "NaN"):
        yield f"{text} in place of ours", signed(tensors, text)
        yield f"{text} in place of all", headed(text.encode())
    for version in (0, 3, "1", None):
        text = json.dumps(header | {"version": version})
        yield f"version {version!r}", signed(tensors, text)

    def model(**changes: object) -> bytes:
        altered = header | {"model": header["model"] | changes}
        return signed(tensors, json.dumps(altered))

    arguments = header["model"]["arguments"]
    yield "another network", model(network="system")
    yield "no network's name", model(network=["MLP"])
    yield "another prediction", model(prediction="y")
    yield "other arguments", model(arguments=arguments | {"shell": "ls"})
    yield "no arguments", model(arguments=None)
    yield "another width", model(arguments=arguments | {"n_feat": 6})
    yield "a width beyond memory", model(arguments=arguments | {"n_feat": 2**40})
    yield "a width beyond numbers", model(arguments=arguments | {"n_feat": 2**80})
    for name, value in (
        *(("n_feat", float("nan")), ("dim", float("inf")), ("n_layers", 1.0)),
        *(("n_classes", -1), ("dim", None), ("n_layers", [1]), ("n_feat", True)),
        *(("n_layers", 10**9), ("dim", 10**9), ("n_classes", 10**9)),
    ):
        yield f"{name} is {value!r}", model(arguments=arguments | {name: value})
    for name, value in (("drop_prob", float("nan")), ("drop_prob", "0.1")):
        yield f"{name} is {value!r}", model(**{name: value})
    text = json.dumps(header)
    rest = {k: v for k, v in tensors.items() if k != "nn_model.leave.bias"}
    yield "a weight is missing", signed(rest, text)
    nets = {k: v for k, v in tensors.items() if k.startswith("nn_model.")}
    yield "no schedule", signed(nets, text)

    def altered(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> bytes:
        return signed(tensors | {name: change(tensors[name]).contiguous()}, text)

    for name in ("nn_model.enter.weight", "nn_model.leave.bias"):
        yield f"{name} a row longer", altered(name, lambda x: torch.cat([x, x[:1]]))
        yield f"{name} with an axis more", altered(name, lambda x: x[None])
        yield f"{name} of doubles", altered(name, torch.Tensor.double)
        yield f"{name} of integers", altered(name, torch.Tensor.long)
        yield f"{name} of halves", altered(name, torch.Tensor.bfloat16)
        yield f"{name} of nothing", altered(name, lambda x: x[:0])
    for name in ("betas", "sqrt_alpha_bars", "snr"):
        name = f"schedule.{name}"
        yield f"{name} longer", altered(name, lambda x: torch.cat([x, x[:1]]))
        yield f"{name} of doubles", altered(name, torch.Tensor.double)
        yield f"{name} square", altered(name, lambda x: x.reshape(2, 2))
        yield f"{name} of nothing", altered(name, lambda x: x[:0])


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a whole file and of what a trap would leave; and the contents."""
    folder = tmp_path_factory.mktemp("damaged")
    return folder, dict(damages(folder))


def refusal(call: Callable[[], object]) -> str:
    """Return the message of a ValueError; anything else that happens is shown."""
    try:
        got = call()
    except ValueError as error:
        return str(error)
    except Exception as error:
        return f"instead: {type(error).__name__}: {error}"
    return f"instead: {got!r}"


def test_a_hundred_damaged_files_are_refused_by_name(tmp_path, damaged) -> None:
    folder, contents = damaged
    assert len(contents) >= 100
    whole = (folder / "whole").read_bytes()
    for k, (what, content) in enumerate(contents.items()):
        assert content != whole, what
        path = tmp_path / f"damaged-{k}.safetensors"
        path.write_bytes(content)
        for read in (minddpm.load, load_checkpoint):
            message = refusal(lambda read=read, path=path: read(path))
            assert message.startswith(f"{path} "), f"{what}: {message}"
            assert "\n" not in message, f"{what}: {message}"
            assert len(message) < 500, f"{what}: {message}"
    assert not (folder / "marker").exists()
    assert_equal(small(), minddpm.load(folder / "whole"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_no_file_asks_for_more_memory_than_it_holds(tmp_path, damaged) -> None:
    """Sizes of gigabytes: in the header, in its numbers, and in the file itself."""
    content = {
        what: content
        for what, content in damaged[1].items()
        if "beyond memory" in what or "1000000000" in what or what.startswith("size")
    }
    whole = (damaged[0] / "whole").read_bytes()
    (tmp_path / "whole").write_bytes(whole)
    start = 8 + int.from_bytes(whole[:8], "little")
    altered = json.loads(whole[8:start])
    last = max(entry["data_offsets"][1] for entry in list(altered.values())[1:])
    altered["more"] = {"dtype": "U8", "shape": [2**33], "data_offsets": [last, 2**33]}
    content["8 GB promised"] = headed(json.dumps(altered).encode(), whole[start:])
    tensors, header = files.read(tmp_path / "whole")
    model = header["model"]
    for name in ("n_feat", "dim", "n_classes"):  # each some GB, were it made
        changed = model | {"arguments": model["arguments"] | {name: 2**14 * 2**12}}
        changed["arguments"]["n_feat"] = 2**14
        content[f"a large {name}"] = signed(
            tensors, json.dumps(header | {"model": changed})
        )
    minddpm.save(tmp_path / "net", DDPM(UNet(1, 4, 3), schedule=SCHEDULES["own"]))
    tensors, header = files.read(tmp_path / "net")
    header["model"]["arguments"]["widths"] = [1, 2, 1000]  # one level more: 2 GB of it
    content["a wide level"] = signed(tensors, json.dumps(header))
    for k, given in enumerate(content.values()):
        (tmp_path / f"damaged-{k}").write_bytes(given)
    for name, given in (("zeros", b""), ("8 GB more", whole), ("foreign", whole[:8])):
        with open(tmp_path / f"damaged {name}", "wb") as file:
            file.write(given)
            file.truncate(2**33)  # a hole, which takes no room on the disk
    source = """if True:
        import sys
        from pathlib import Path
        import minddpm

        def most():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(x.split()[1]) for x in lines if x.startswith("VmHWM"))

        minddpm.load(Path(sys.argv[1]) / "whole")
        before = most()
        for path in sorted(Path(sys.argv[1]).glob("damaged*")):
            try:
                minddpm.load(path)
            except ValueError as error:
                assert str(path) in str(error)
            else:
                raise SystemExit(f"{path} was read")
            print(path.name, (most() - before) // 1024)
        """
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    megabytes = [int(line.split()[-1]) for line in done.stdout.splitlines()]
    assert len(megabytes) == len(content) + 3
    assert max(megabytes) < 100, done.stdout


def test_the_traps_would_spring(damaged) -> None:
    """Without this, a trap that cannot close would show nothing."""
    folder, contents = damaged
    pickle.loads(contents["a pickle"])
    (folder / "marker").unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("empty", r" is empty .*take another copy, or an earlier checkpoint"),
        ("noise", r" is no file of minddpm's, or is damaged .*take another copy"),
        ("bit 3 of the weights", r" is damaged: its checksum does not fit; take anoth"),
        (
            "version 3",
            r" has version 3 .* reads version 2 at most; install the minddpm",
        ),
        ("another network", r" does not fit this version of minddpm"),
        (
            "a weight is missing",
            r" does not fit this version of minddpm.*Missing key.*leave",
        ),
    ],
)
def test_the_message_tells_what_is_wrong(tmp_path, damaged, what, message) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(damaged[1][what])
    with pytest.raises(ValueError, match=message):
        minddpm.load(path)


# --- all or nothing -------------------------------------------------------------------


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fails_to_sync(monkeypatch, path: Path) -> None:
    monkeypatch.setattr(os, "fsync", no_space)


def fails_to_rename(monkeypatch, path: Path) -> None:
    monkeypatch.setattr(os, "replace", no_space)


def writes_to_a_full_disk(monkeypatch, path: Path) -> None:
    """/dev/full takes nothing; the unfinished file becomes a link to it."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    path.with_name(f".{path.name}.unfinished").symlink_to("/dev/full")


def writes_beyond_a_limit(monkeypatch, path: Path) -> None:
    """The kernel stops the write in the middle, as it does at a quota."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))


@pytest.fixture
def unlimited() -> Iterator[None]:
    """Take the limit of files back after the test, before pytest writes any."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "fails",
    [fails_to_sync, fails_to_rename, writes_to_a_full_disk, writes_beyond_a_limit],
)
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.usefixtures("unlimited")
def test_a_write_that_fails_changes_nothing(tmp_path, fails, there: bool) -> None:
    path = tmp_path / "model.safetensors"
    if there:
        minddpm.save(path, small(), step=1)
    before = path.read_bytes() if there else None
    says = "model.safetensors is " + (
        "still the one from before" if there else "not written"
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        fails(monkeypatch, path)
        with pytest.raises(OSError, match=says) as caught:
            minddpm.save(path, small(), step=2)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2
        )
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert caught.value.filename == str(path)
    assert [p.name for p in tmp_path.iterdir()] == ([path.name] if there else [])
    if there:
        assert path.read_bytes() == before
    minddpm.save(path, small(), step=2)  # and then there is room again
    assert files.read(path)[1]["about"] == {"step": 2}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_a_killed_process_left_is_no_obstacle(tmp_path) -> None:
    (tmp_path / ".a.unfinished").write_bytes(b"half")
    minddpm.save(tmp_path / "a", small())
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert_equal(small(), minddpm.load(tmp_path / "a"))


@pytest.mark.parametrize("refusals", [1, 9, 1000])
def test_what_windows_holds_for_a_moment_is_asked_for_again(
    tmp_path, monkeypatch, refusals: int
) -> None:
    """As a virus scanner or a viewer does; for a second, then it is an error."""
    path, rename, waits = tmp_path / "model.safetensors", os.replace, []
    minddpm.save(path, small(), step=1)

    def held(old: Path, new: Path) -> None:
        if len(waits) < refusals:
            raise PermissionError(errno.EACCES, "Access is denied", str(new))
        rename(old, new)

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(time, "sleep", waits.append)
    if refusals < 10:
        minddpm.save(path, small(), step=2)
        assert len(waits) == refusals
    else:
        with pytest.raises(PermissionError, match="is still the one from before"):
            minddpm.save(path, small(), step=2)
        assert 0.5 <= sum(waits) <= 2
    assert files.read(path)[1]["about"] == {"step": 2 if refusals < 10 else 1}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_no_folder_or_a_folder_in_its_place(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"m is not written: .*nowhere"):
        minddpm.save(tmp_path / "nowhere" / "m", small())
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        minddpm.save(tmp_path / "taken", small())
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
    assert list((tmp_path / "taken").iterdir()) == []
