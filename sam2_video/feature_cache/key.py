"""What encoded frames depend on, as names of folders and files: weights, settings and frames."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sam2_video.limits import shorten

_LENGTH = 16


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """Return a digest of named weights, which is the same on every device."""
    digest = hashlib.sha256()
    for name, values in sorted(weights.items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_facts(facts: Mapping[str, object]) -> str:
    """Return a short digest of facts that JSON can hold.

    >>> hash_facts({"size": [64, 64], "kind": "a"}) == hash_facts({"kind": "a", "size": [64, 64]})
    True
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:_LENGTH]


def describe_files(files: Iterable[str]) -> list[tuple[str, int, int]]:
    """Return the name, the size and the time of change (ns) of files, in their order.

    Raises:
        FileNotFoundError: a file is gone.
    """
    paths = [Path(file) for file in files]
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


def readable(name: str) -> str:
    """Return a name without what file systems refuse, for people to find a file by.

    >>> readable("set1/video: 3")
    'set1-video--3'
    """
    return shorten(re.sub(r"[^\w.-]", "-", name)[:80])
