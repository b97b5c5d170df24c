"""What is damaged: sound small files of every kind that prepare.py reads, and how they are read.

Each reader is called as the preparation calls it. A file may be read, or refused by a sentence;
what else is raised is a failure.
"""

import gzip
import io
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np
from byte_changes import BYTE_CHANGES, Base, Change, flip_bits, offset
from dicom_mutations import DICOM_CHANGES, IDENTIFIERS, small_films
from PIL import Image

from preparation.films.archives.unpack import unpack
from preparation.films.dicom.film_reader import DicomFilmReader
from preparation.films.dicom.header import DicomOptions
from preparation.films.film import Film, FilmFile, RejectedFilm
from preparation.films.image_files import ImageFileReader
from preparation.films.label_table import read_label_table
from preparation.label_map import parse_label_map
from preparation.volumes.data_sets.kits19 import find_cases
from preparation.volumes.nifti.case import read_case
from preparation.volumes.png_slices import find_pairs, read_pairs
from preparation.volumes.shard import Layout, make_or_skip
from preparation.volumes.volume import Found, Reader, SkipVolume
from provenance import UserError

# As permissive as can be, so that damage gets as far as it can.
DICOM_READER = DicomFilmReader(
    DicomOptions(view=("any",), view_from_text=True, without_body_part="keep", orientation="ignore")
)
_SIDE = 16
_LAYOUT = Layout("kits19", _SIDE, (400.0, 0.0), "pad", has_images=True)
_AFFINE = np.array([[0, 0, -0.7, 20], [0, -0.8, 0, 15], [-3.0, 0, 0, 100], [0, 0, 0, 1.0]])


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        bases: Makes the sound files.
        changes: Ways to damage one.
        read: (base, damaged bytes, new folder) to `read`, `rejected <reason>` or a failure.
    """

    bases: Callable[[], list[Base]]
    changes: tuple[Change, ...]
    read: Callable[[Base, bytes, Path], str]


def _read_film(reader: Callable[[FilmFile], Film], path: Path, shape: tuple[int, ...]) -> str:
    try:
        pixels = reader(FilmFile(path.name, path, path.stat().st_size)).pixels
    except RejectedFilm as refusal:
        told = any(identifier in refusal.sentence for identifier in (*IDENTIFIERS, path.name))
        return "identifier in sentence" if told else f"rejected {refusal.reason}"
    if pixels.dtype != np.float32 or (shape and pixels.shape != shape):
        return "wrong shape"
    return "read" if pixels.min() >= 0 and pixels.max() <= 1 else "wrong values"  # also for NaN


def _read_dicom(base: Base, data: bytes, folder: Path) -> str:
    path = folder / "Schmidt.dcm"
    path.write_bytes(data)
    return _read_film(DICOM_READER, path, base.shape)


def _grey(dtype: type) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, min(4096, np.iinfo(dtype).max), (40, 32)).astype(dtype)


def _pictures() -> list[Base]:
    def saved(array: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
        stream = io.BytesIO()
        picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
        picture.save(stream, kind, **options)
        return stream.getvalue()

    grey, deep = _grey(np.uint8), _grey(np.uint16)
    colour = Image.fromarray(np.stack([grey, grey // 2, grey // 3], -1))
    exif = Image.Exif()
    exif[0x0112] = 6
    labels = (grey > 200).astype(np.uint8)
    return [
        Base("grey.png", saved(grey, "PNG")),
        Base("deep.png", saved(deep, "PNG")),
        Base("indexed.png", saved(colour.quantize(16), "PNG")),
        Base("alpha.png", saved(colour.convert("RGBA"), "PNG")),
        Base("grey.jpg", saved(grey, "JPEG")),
        Base("turned.jpg", saved(colour, "JPEG", exif=exif, progressive=True)),
        Base("deep.tif", saved(deep, "TIFF")),
        Base("packed.tif", saved(grey, "TIFF", compression="tiff_lzw")),
        Base("grey.bmp", saved(grey, "BMP")),
        Base("colour.webp", saved(colour, "WEBP")),
        Base("image/s0.png", saved(grey, "PNG")),
        Base("label/s0.png", saved(labels, "PNG")),
    ]


def _read_picture(base: Base, data: bytes, folder: Path) -> str:
    if "/" not in base.name:
        path = folder / f"Schmidt{Path(base.name).suffix}"
        path.write_bytes(data)
        return _read_film(ImageFileReader(), path, ())
    return _read_slices(folder, {base.name: data})


def _read_slices(folder: Path, damaged: dict[str, bytes]) -> str:
    """A pair of slices with its index, some files of it damaged."""
    sound = {base.name: base.data for base in _sound_slices()}
    for name, data in {**sound, **damaged}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return _made(find_pairs(folder), read_pairs, folder)


@cache
def _sound_slices() -> tuple[Base, ...]:
    pictures = [base for base in _pictures() if "/" in base.name]
    return (*pictures, Base("index.csv", b"file,case,slice\ns0.png,1,7\n"))


def _made(found: Found, reader: Reader, folder: Path) -> str:
    """Make every shard of a source, as a worker does."""
    skipped = [reason for _, reason in found.skipped]
    for job in found.jobs:
        result = make_or_skip(job, folder / "out", reader, _LAYOUT)
        if isinstance(result, SkipVolume):
            skipped.append(result.reason)
        else:
            skipped += [reason for _, reason in result["skipped"]]
    if any(identifier in reason for reason in skipped for identifier in IDENTIFIERS):
        return "identifier in sentence"
    # The beginning of a sentence, without the numbers that differ from file to file.
    words = [word for word in " ".join(skipped[:1]).split() if word.isalpha()][:4]
    return f"rejected {' '.join(words)}" if skipped else "read"


def _volumes() -> list[Base]:
    rng = np.random.default_rng(0)
    found = []
    for dtype in (np.int16, np.float64):
        values = rng.integers(-1000, 1000, (3, _SIDE, _SIDE)).astype(dtype)
        labels = rng.integers(0, 3, values.shape).astype(np.uint8 if dtype == np.int16 else dtype)
        for name, array in (("imaging", values), ("segmentation", labels)):
            data = nib.Nifti1Image(array, _AFFINE).to_bytes()
            packed, voxel = gzip.compress(data, mtime=0), (np.dtype(dtype).itemsize,)
            found += [
                Base(f"{name}.nii", data, voxel),
                Base(f"{name}.nii.gz", data, voxel),
                Base(f"{name}.nii.gz gz", packed, voxel),
            ]
    return found


def _read_volume(base: Base, data: bytes, folder: Path) -> str:
    """A case whose image or mask is damaged, packed afterwards or before."""
    name, *packed_before = base.name.split()
    case = folder / "source" / "case_00000"
    case.mkdir(parents=True)
    other = "segmentation" if name.startswith("imaging") else "imaging"
    sound = next(b for b in _sound_volumes() if b.name == f"{other}.nii" and b.shape == base.shape)
    (case / f"{other}.nii").write_bytes(sound.data)
    packs = name.endswith(".gz") and not packed_before
    (case / name).write_bytes(gzip.compress(data, 1, mtime=0) if packs else data)
    return _made(find_cases(folder / "source"), read_case, folder)


@cache
def _sound_volumes() -> tuple[Base, ...]:
    return tuple(_volumes())


_NIFTI_FIELDS = (
    (0, "i"), (39, "B"), (40, "h"), (42, "h"), (44, "h"), (46, "h"), (48, "h"), (70, "h"),
    (72, "h"), (76, "f"), (80, "f"), (84, "f"), (108, "f"), (112, "f"), (116, "f"), (252, "h"),
    (254, "h"), (256, "f"), (260, "f"), (268, "f"), (280, "f"), (300, "f"), (344, "i"), (348, "i"),
)  # fmt: skip


def _edit_nifti_header(random: Random, data: bytes) -> bytes:
    """Another value of a header field: extremes, and other types of voxel."""
    at, kind = random.choice(_NIFTI_FIELDS)
    if len(data) < at + 4:
        return flip_bits(random, data)
    if kind == "f":
        value = random.choice((0.0, -1.0, float("nan"), float("inf"), 1e30, 1e-30, 352.5, 3e38))
    else:
        size = struct.calcsize(kind)
        value = random.choice((0, 1, 2, 3, 4, 7, 32, 128, 512, 1024, 1792, 2304, 32767, -1))
        value = value % 256 if size == 1 else value
    new = struct.pack(f"<{kind}", value)
    return data[:at] + new + data[at + len(new) :]


def _edit_chunk(random: Random, data: bytes) -> bytes:
    """Damage a chunk of a PNG and give it the right checksum, so that the decoder reads it."""
    at, chunks = 8, []
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        chunks.append((at, length))
        at += 12 + length
    at, length = random.choice(chunks) if chunks else (0, 0)
    if not chunks or length == 0 or at + 12 + length > len(data):
        return flip_bits(random, data)
    body = flip_bits(random, data[at + 4 : at + 8 + length])
    if random.random() < 0.5:
        kinds = (b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"pHYs", b"iTXt", b"zTXt")
        body = random.choice(kinds) + body[4:]
    checked = body + struct.pack(">I", zlib.crc32(body))
    return data[: at + 4] + checked + data[at + 12 + length :]


_TOKENS = (
    b'"', b'""', b"\0", b"\r", b"\n", b"\r\n", b",", b";", b"\t", b"\xfc", b"\xff\xfe", b"#", b"=",
    b"\xef\xbb\xbf", b"\xed\xb3\xbc", b"\xe2\x80\x8b", b"nan", b"1e999", b"1E5", b"-1", b"1.0",
    b"9" * 5000, b"a" * 140_000, b"=1+1", b"../../x.png", b"file,case,slice", b"case_00001",
    "\u00b2".encode(), "\u0663".encode(),
)  # fmt: skip


def _insert_token(random: Random, data: bytes) -> bytes:
    start = random.randrange(len(data) + 1)
    return data[:start] + random.choice(_TOKENS) + data[start:]


def _replace_cell(random: Random, data: bytes) -> bytes:
    cells = data.split(b",")
    cells[random.randrange(len(cells))] = random.choice(_TOKENS)
    return b",".join(cells)


def _encode(random: Random, data: bytes) -> bytes:
    """The same text in another encoding."""
    name = random.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp1252", "cp437", "utf-7"))
    return data.decode("utf-8", "replace").encode(name, "replace")


def _tables() -> list[Base]:
    rows = [f"p{n}_ü.png,{n // 2},{('normal', 'abnormal')[n % 2]}" for n in range(12)]
    labels = "\n".join(["image,patient,label", *rows]).encode()
    index = b"file,case,slice\ns0.png,case_00002,7\ns0.png,M\xc3\xbcller,9\n"
    return [
        Base("labels.csv", labels),
        Base("semicolons.csv", labels.replace(b",", b";")),
        Base("index.csv", index),
        Base("map.txt", "# names\nNormal=normal\nkrank=übel\nNaN=\n".encode()),
    ]


def _read_table(base: Base, data: bytes, folder: Path) -> str:
    try:
        if base.name == "index.csv":
            return _read_slices(folder, {base.name: data})
        path = folder / base.name
        path.write_bytes(data)
        if base.name == "map.txt":
            parse_label_map([str(path)])
        else:
            read_label_table(path, None, ("label",), None)
        return "read"
    except UserError as error:
        return f"rejected {base.name}" if str(error) else "no sentence"


def _archives() -> list[Base]:
    names = {
        "films/a.png": b"a" * 3000,
        "films/ü.png": bytes(range(256)) * 9,
        "b.png": b"",
        "c/": b"",
    }
    found = []
    for name, method in (("deflated", zipfile.ZIP_DEFLATED), ("stored", zipfile.ZIP_STORED)):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for member, data in names.items():
                archive.writestr(zipfile.ZipInfo(member), data, method)
        found.append(Base(f"{name}.zip", stream.getvalue()))
    stream = io.BytesIO()
    np.savez_compressed(stream, train_images=np.zeros((2, 28, 28), np.uint8))
    found.append(Base("arrays.npz", stream.getvalue()))
    for mode, suffix in (("w", "tar"), ("w:gz", "tar.gz"), ("w:xz", "tar.xz")):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=mode) as archive:
            for member, data in names.items():
                info = tarfile.TarInfo(member.rstrip("/"))
                info.type = tarfile.DIRTYPE if member.endswith("/") else tarfile.REGTYPE
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        found.append(Base(f"films.{suffix}", stream.getvalue()))
    return found


def _edit_record(random: Random, data: bytes) -> bytes:
    """Another number, or name, in a header of a zip."""
    marks = [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"]
    mark = random.choice(marks)
    starts = [at for at in range(len(data)) if data.startswith(mark, at)]
    if not starts:
        return flip_bits(random, data)
    start = random.choice(starts)
    if random.random() < 0.2:
        hostile = random.choice((b"../", b"/et", b"C:\\", b"\\..", b"a\0b", b"\xff\xfe\xfd"))
        name = start + (46 if mark == marks[0] else 30)
        return data[:name] + hostile + data[name + 3 :]
    at, size = start + 4 + 2 * random.randrange(20), random.choice((2, 4))
    new = random.choice(
        (bytes(size), b"\xff" * size, random.randbytes(size), b"\x01" + bytes(size - 1))
    )
    return data[:at] + new + data[at + size :]


def _read_archive(base: Base, data: bytes, folder: Path) -> str:
    """Unpacked whole within its folder, or refused and nothing left."""
    archive = folder / base.name
    archive.write_bytes(data)
    beside = folder.parent / "beside"
    beside.mkdir(exist_ok=True)
    out = folder / "in" / "out"
    out.parent.mkdir()
    try:
        unpack(archive, out)
        what = "read"
    except UserError as error:
        what = "rejected " + ("damaged" if "is damaged" in str(error) else "not trusted")
        if out.exists() or any(out.parent.iterdir()):
            return "left something"
    outside = [path for path in folder.iterdir() if path.name not in (archive.name, "in")]
    return "wrote outside" if outside or os.listdir(beside) else what


def _bomb(random: Random, data: bytes) -> bytes:
    """A long run of one byte, which packs well."""
    start = offset(random, data)
    return data[:start] + random.randbytes(1) * random.choice((1000, 100_000)) + data[start:]


KINDS = {
    "dicom": Kind(small_films, DICOM_CHANGES, _read_dicom),
    "picture": Kind(_pictures, (*BYTE_CHANGES, *[_edit_chunk] * 4), _read_picture),
    "nifti": Kind(_volumes, (*BYTE_CHANGES, *[_edit_nifti_header] * 6), _read_volume),
    "table": Kind(
        _tables, (*BYTE_CHANGES, *[_insert_token] * 4, _replace_cell, _replace_cell, _encode),
        _read_table,
    ),
    "archive": Kind(_archives, (*BYTE_CHANGES, *[_edit_record] * 6, _bomb), _read_archive),
}  # fmt: skip


def read_damaged(kind: str, base: Base, data: bytes, folder: Path) -> str:
    """What became of a damaged file; its folder is made and removed."""
    folder.mkdir()
    try:
        return KINDS[kind].read(base, data, folder)
    except UserError:  # finished sentences about a whole source
        return "rejected by a sentence"
    except Exception as error:
        return f"uncaught {type(error).__name__}"
    finally:
        shutil.rmtree(folder)
