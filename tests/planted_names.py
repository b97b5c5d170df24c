"""Names and identifiers planted into sources, and a search for them in every byte of outputs."""

import base64
import gzip
import html
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

# Of the person, of the hospital, and of the file; none of them is a word that an output may hold.
FOLDER = "Ward_9_Professor_Grimbald"
PERSON, ACCENTED, CHINESE = "Quillfeather", "Żółkiewska", "欧阳娜娜"
PATIENT_ID, TABLE_ID, ACCESSION = "ZKX-48151623", "HOSPNR77312", "ACC90817263"
INSTITUTION, STUDY = "Sankt-Waldburga-Klinik", "Oswinna follow-up"
UID = "1.2.826.0.1.3680043.9.77777"
COMMENT, EXIF, HEADER = "Peregrina Tooke", "Theodwynn of Rohan", "Elfhild Helm"
PLANTED = (
    FOLDER, PERSON, ACCENTED, CHINESE, PATIENT_ID, TABLE_ID, ACCESSION, INSTITUTION, STUDY, UID,
    COMMENT, EXIF, HEADER,
)  # fmt: skip

_WANDB_BLOCK, _WANDB_HEADER = 32768, 7


def found(root: Path, names: tuple[str, ...] = PLANTED) -> list[tuple[str, str]]:
    """(file, name) of every name that a file below a folder holds, or that it is called.

    In any case, in UTF-8, UTF-16 and UTF-32, as JSON, HTML and URLs escape it, in base64; also in
    what gzip, zip (npz, checkpoints), PNG's compressed texts and W&B's blocks hold.
    """
    patterns = {name: re.compile(b"|".join(map(re.escape, _spelt(name)))) for name in names}
    hits = set()
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root).as_posix()
        parts = [place.encode(errors="surrogateescape")]
        if path.is_symlink():
            parts.append(str(path.readlink()).encode())
        elif path.is_file():
            parts += _contents(path.read_bytes())
        for part in parts:
            lowered = part.lower()
            hits.update((place, name) for name, spelt in patterns.items() if spelt.search(lowered))
    return sorted(hits)


def _spelt(name: str) -> set[bytes]:
    """How a name may be written, in lower case as far as ASCII goes."""
    texts = {name, json.dumps(name)[1:-1], html.escape(name), quote(name)}
    texts |= {name.encode().decode("latin-1"), name.encode("ascii", "xmlcharrefreplace").decode()}
    codes = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le")  # the last one is numpy's
    spelt = {text.encode(code) for text in texts for code in codes}
    for shift in range(3):  # base64 of a longer text that holds it
        whole = base64.b64encode(b"\0" * shift + name.encode())
        spelt.add(whole[4 if shift else 0 : -4])
    return {text.lower() for text in spelt if len(text) > 5}


def _contents(data: bytes) -> Iterator[bytes]:
    """What a file holds, and what that holds in turn."""
    yield data
    if data[:2] == b"\x1f\x8b":
        yield from _contents(gzip.decompress(data))
    elif data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            for info in file.infolist():
                yield info.filename.encode() + info.comment
                yield from _contents(file.read(info))
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        for kind, body in _png_chunks(data):
            if kind in (b"zTXt", b"iTXt"):
                for start in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", body):
                    yield zlib.decompressobj().decompress(body[start.start() :])
    elif data[:4] == b":W&B":
        yield _wandb_records(data)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def _wandb_records(data: bytes) -> bytes:
    """All records joined, without the headers that cut a long one where a block ends."""
    joined, place = b"", _WANDB_HEADER
    while place + _WANDB_HEADER <= len(data):
        room = _WANDB_BLOCK - place % _WANDB_BLOCK
        if room < _WANDB_HEADER:
            place += room
            continue
        (length,) = struct.unpack("<H", data[place + 4 : place + 6])
        joined += data[place + _WANDB_HEADER : place + _WANDB_HEADER + length]
        place += _WANDB_HEADER + length
    return joined
