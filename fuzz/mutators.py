"""Mutate what a checksum or a grammar would else protect: JSON values, PNG chunks, zip members."""

import copy
import io
import json
import random
import struct
import zipfile
import zlib
from typing import Any

import atheris

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**32,
    2**63,
    2**64,
    10**40,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "0",
    "a\0b",
    "\ud800",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows\\x.png",
    "x" * 3000,
    "9" * 5000,
    "o\0" + "1" * 400,
    [],
    {},
    [[]],
    [0] * 6,
    [1e300] * 6,
    [10**6, 10**6],
    {"size": [10**5, 10**5], "counts": [10**10]},
    {"size": [8, 8], "counts": "o" * 50},
)
_PNG = b"\x89PNG\r\n\x1a\n"


def mutate_json(data: bytes, max_size: int, seed: int) -> bytes:
    """Put a hostile value, or a part of the document, in place of another part."""
    generator = random.Random(seed)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return atheris.Mutate(data, max_size)
    if generator.random() < 0.2:
        return atheris.Mutate(data, max_size)
    for _ in range(generator.randint(1, 3)):
        content = _replace(content, generator)
    try:
        return json.dumps(content).encode()[:max_size]
    except (ValueError, RecursionError):
        return data


def _replace(content: Any, generator: random.Random) -> Any:
    places = list(_places(content, 0))
    if not places or generator.random() < 0.02:
        return generator.choice(HOSTILE)
    parent, key = generator.choice(places)
    kind = generator.random()
    if kind < 0.1:
        del parent[key]
    elif kind < 0.3:
        other, place = generator.choice(places)
        # its own part inside itself would never end
        value = copy.deepcopy(other[place]) if place in _keys(other) else None
        if key in _keys(parent):
            parent[key] = value
    elif kind < 0.5 and isinstance(parent[key], str):
        text = list(parent[key])
        for _ in range(generator.randint(1, 4)):
            text.insert(
                generator.randint(0, len(text)),
                chr(generator.choice((0, 45, 48, 63, 111, 112, 233, generator.randint(32, 126)))),
            )
        parent[key] = "".join(text)
    elif kind < 0.7 and type(parent[key]) is int:
        parent[key] += generator.choice((-1, 1, 7, 2**31, 2**62))
    else:
        parent[key] = generator.choice(HOSTILE)
    return content


def _keys(parent: Any) -> Any:
    return parent if isinstance(parent, dict) else range(len(parent))


def _places(content: Any, depth: int) -> Any:
    if depth < 12 and isinstance(content, dict | list):
        for key in list(_keys(content)):
            yield content, key
            yield from _places(content[key], depth + 1)


def mutate_png(data: bytes, max_size: int, seed: int) -> bytes:
    """Mutate, drop, double or swap chunks of a PNG, and mend their checksums."""
    generator = random.Random(seed)
    chunks = _chunks(data)
    if not chunks or generator.random() < 0.2:
        return atheris.Mutate(data, max_size)
    number = generator.randrange(len(chunks))
    name, body = chunks[number]
    kind = generator.random()
    if kind < 0.1:
        del chunks[number]
    elif kind < 0.2:
        chunks.insert(generator.randrange(len(chunks)), (name, body))
    elif kind < 0.4 and name == b"IDAT":
        try:
            pixels = zlib.decompress(body)
        except zlib.error:
            pixels = body
        chunks[number] = name, zlib.compress(atheris.Mutate(pixels, max_size))
    elif kind < 0.5:
        bomb = zlib.compress(bytes(2**24), 9)
        extra = generator.choice(
            (
                (b"zTXt", b"k\0\0" + bomb),
                (b"iCCP", b"k\0\0" + bomb),
                (b"tRNS", b"\0"),
                (b"eXIf", b"II*\0" + bytes(8)),
            )
        )
        chunks.insert(1, extra)
    else:
        chunks[number] = name, atheris.Mutate(body, max(len(body), 1) + 8) if body else b"\0"
    return join_chunks(chunks)[:max_size]


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], len(_PNG)
    while data.startswith(_PNG) and place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def join_chunks(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG of chunks."""
    return _PNG + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def mutate_zip(data: bytes, max_size: int, seed: int) -> bytes:
    """Mutate a member of a zip file, and write the file anew."""
    generator = random.Random(seed)
    if generator.random() < 0.2:
        return atheris.Mutate(data, max_size)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = {
                info.filename: file.read(info) for info in file.infolist() if info.file_size < 2**20
            }
    except (
        zipfile.BadZipFile,
        ValueError,
        OSError,
        RuntimeError,
        NotImplementedError,
        EOFError,
        LookupError,
        struct.error,
        zlib.error,
    ):
        return atheris.Mutate(data, max_size)
    if not members:
        return atheris.Mutate(data, max_size)
    name = generator.choice(sorted(members))
    if generator.random() < 0.1:
        del members[name]
    else:
        members[name] = atheris.Mutate(members[name], max(len(members[name]), 1) + 64)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for member, content in members.items():
            file.writestr(member, content)
    return buffer.getvalue()[:max_size]
