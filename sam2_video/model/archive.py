"""Look at a file of torch.save before it is unpacked: how large it gets, and what it names."""

import errno
import pickletools
import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor

# Of what torch's restricted unpickler would call, what state dicts are made of. The others, such as
# bytearray(10**12) or torch.Tensor(10**12), only take memory.
_KNOWN = re.compile(
    r"collections (OrderedDict|defaultdict)"
    r"|torch (Size|device|[a-z]\w*|\w+Storage)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|parameter_with_state)"
    r"|torch\._tensor _rebuild_from_type_v2"
    r"|_codecs encode|(builtins|__builtin__) (set|complex)"
)
# how newer pickles name code; torch.save does not, and what is named so cannot be read off
_OTHER_WAYS = ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4")


def find_bomb(path: Path) -> str | None:
    """Return why a file must not be unpacked, None if it may be.

    Raises:
        zipfile.BadZipFile: it is no zip file, or a damaged one.
    """
    size = path.stat().st_size
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
        # members may be packed, or share the same bytes
        if sum(member.file_size for member in members) > size:
            return f"it would unfold to more than its {size:,} bytes"
        for member in members:
            if member.filename.endswith("/data.pkl"):
                found = _find_stranger(_read(file, member))
                if found is not None:
                    return f"it names {found}, which no weights are made of"
    return None


def _read(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return file.read(member)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile(f"{member.filename} lies before the file's begin") from error


def _find_stranger(content: bytes) -> str | None:
    for code, name, _ in pickletools.genops(content):
        if code.name == "GLOBAL" and not _KNOWN.fullmatch(str(name)):
            return str(name)
        if code.name in _OTHER_WAYS:
            return f"code ({code.name})"
    return None


def is_plain(value: object) -> bool:
    """Say whether a value is a tensor that lies in memory as large as it says it is."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized:
        return False
    is_here = value.device.type == "cpu"
    return is_here and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
