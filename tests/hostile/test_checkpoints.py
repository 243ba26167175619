"""Checkpoints that would run code, take all memory, or are no training states."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from sam2_video.model.checkpoint import read_pickle, read_weights
from sam2_video.training.resume import read_resume

WEIGHTS = {"model": {"a": torch.ones(3)}}


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def save_with(path, pickled, **options):
    """Write what torch.save would, with another pickle in it."""
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", **options) as target:
        for name in source.namelist():
            is_pickle = name.endswith("/data.pkl")
            target.writestr(name, pickled if is_pickle else source.read(name))
    return path


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.ckpt", "a.bin"])
def test_code_in_a_pickle_is_not_run(tmp_path, name, protocol):
    canary = tmp_path / "canary"
    path = save_with(tmp_path / name, pickle.dumps({"model": Canary(canary)}, protocol))
    bare = tmp_path / f"bare-{name}"
    bare.write_bytes(pickle.dumps(Canary(canary), protocol))
    for read in (read_weights, read_resume):
        for file in (path, bare):
            with pytest.raises(ValueError, match=file.name):
                read(str(file))
    assert not canary.exists()


@pytest.mark.parametrize(
    "called", [b"builtins\nbytearray", b"torch\nTensor", b"torch.storage\nUntypedStorage"]
)
def test_what_only_takes_memory_is_not_called(tmp_path, called):
    """4 GB, each of which torch.load(weights_only=True) hands out."""
    path = save_with(tmp_path / "a.pt", b"\x80\x02c" + called + b"\n\x8a\x05\0\0\0\0\x01\x85R.")
    with pytest.raises(ValueError, match=r"a\.pt: .* names .*, which no weights are made of"):
        read_pickle(path)


def test_a_packed_archive_is_not_unpacked(tmp_path):
    path = save_with(tmp_path / "a.pt", bytes(10**7), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"a\.pt: .* unfold to more than its"):
        read_pickle(path)


def test_an_archive_whose_members_lie_before_its_begin_is_named(tmp_path):
    path = tmp_path / "a.pt"
    save_with(path, pickle.dumps(WEIGHTS, 2))
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x05\x06") + 16
    (begin,) = struct.unpack_from("<I", content, place)
    struct.pack_into("<I", content, place, begin + 1000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.pt: not a checkpoint"):
        read_weights(str(path))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1).expand(10**6, 10**6),
        torch.ones(3).to_sparse(),
        torch.empty(10**12, device="meta"),
    ],
    ids=["one number as often as one likes", "sparse", "without memory"],
)
def test_a_tensor_that_is_larger_than_its_file_is_refused(tmp_path, tensor):
    path = tmp_path / "a.pt"
    torch.save({"model": {"a": tensor}}, path)
    with pytest.raises(ValueError, match=r"a\.pt"):
        read_weights(str(path))


@pytest.mark.parametrize(
    "state",
    [
        {"loops": {}, "optimizer_states": []},
        {"loops": 3, "optimizer_states": [{"param_groups": []}]},
        {"loops": {}, "optimizer_states": [[]], "state_dict": None},
    ],
)
def test_a_state_without_what_a_run_needs_is_named(tmp_path, state):
    path = tmp_path / "a.ckpt"
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"a\.ckpt is no training state of ours"):
        read_resume(str(path))


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**62, 2**64 - 1])
def test_a_header_that_lies_about_its_length_is_refused(tmp_path, length):
    content = save({"a": torch.ones(3)})
    path = tmp_path / "a.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + content[8:])
    with pytest.raises(ValueError, match=r"a\.safetensors"):
        read_weights(str(path))
