"""From what was typed to what is done: the films of a source, how to read and how to store them."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from preparation.films.archive import is_archive, unpack
from preparation.films.dicom.film_reader import DicomFilmReader, find_dicom_films
from preparation.films.film import FilmFile, FilmReader
from preparation.films.flags import (
    film_layout,
    film_split,
    is_medmnist,
    patient_salt,
    table_path,
)
from preparation.films.image_files import PictureReader, find_pictures
from preparation.films.label_table import LabelTable, read_label_table
from preparation.films.medmnist import (
    MEDMNIST_NOTE,
    ArrayFilmReader,
    find_array_films,
    locate_medmnist,
)
from preparation.films.processing import FilmLayout
from preparation.films.pseudonyms import Pseudonyms
from preparation.films.shard import MakeFilmShard
from preparation.split import Split
from provenance import UserError

_MOST_CLASS_FOLDERS = 20


@dataclass
class FilmRequest:
    """What one command asks for.

    Attributes:
        files: The source's films, in order.
        work: Makes a shard of them.
        split: How they are divided.
        notes: Sentences about choices that were made.
    """

    files: list[FilmFile]
    work: MakeFilmShard
    split: Split
    notes: list[str] = field(default_factory=list)


def film_request(name: str, options: Any, out: Path, source: Path) -> FilmRequest:
    """Understand a command of `prepare.py chest_xray`, `image_folder` or `phantom_cxr`.

    Args:
        name: The subcommand.
        options: Its flags.
        out: The cache folder.
        source: Where the films lie; an archive is unpacked by `opened` before.

    Raises:
        UserError: No film there, or flags that do not fit each other.
    """
    if name == "image_folder" and is_medmnist(str(source)):
        return _arrays(options, out, source)
    if name == "image_folder":
        return _pictures(options, out, source)
    return _dicom(name, options, out, source)


def opened(source: Path, out: Path) -> Path:
    """The folder of the films: the source, or what its archive holds, unpacked into the cache.

    Raises:
        UserError: There is nothing, or the archive is not safe to unpack.
    """
    if is_medmnist(str(source)):
        return source
    if not source.exists():
        raise UserError(
            f"--source {source}: there is no such folder or file. Give the folder that holds the "
            "films, or a zip or tar of it."
        )
    if is_archive(source):
        unpack(source, out / "unpacked")
        return out / "unpacked"
    if source.is_dir():
        return source
    raise UserError(
        f"--source {source}: is neither a folder nor a zip, tar or MedMNIST .npz file. "
        "Give the folder that holds the films."
    )


def _dicom(name: str, options: Any, out: Path, source: Path) -> FilmRequest:
    files = find_dicom_films(source)
    if not files:
        raise UserError(f"--source {source}: holds no file. Give the folder of the DICOM films.")
    drawn = name == "phantom_cxr"
    if drawn:
        files = [file for file in files if file.name.endswith(".dcm")]
    reader = DicomFilmReader(
        views=tuple(options.view),
        view_from_text=options.view_from_text,
        without_body_part=options.without_body_part,
        orientation=options.orientation,
        patient_from="tag" if drawn else options.patient_from,
    )
    remedy = "Left out; pass --patient-from folder or file, or --split-by image."
    layout = film_layout(name, options, options.image_size or 512)
    if drawn:
        columns: tuple[str, ...] = ("label",)
        table: LabelTable | None = read_label_table(source / "labels.csv", "image", columns, None)
    else:
        table, columns = _table(table_path(options.labels), options)
    return _request(name, options, out, files, reader, layout, remedy, table, columns)


def _pictures(options: Any, out: Path, source: Path) -> FilmRequest:
    files = find_pictures(source)
    if not files:
        raise UserError(
            f"--source {source}: holds no picture (PNG, JPEG, TIFF, BMP, WebP). DICOM films are "
            "prepared by prepare.py chest_xray."
        )
    table, columns = _table(table_path(options.labels), options)
    classes: list[str] = []
    if options.labels is None:
        folders = Counter(PurePosixPath(file.name).parent.name for file in files)
        few = 2 <= len(folders) <= _MOST_CLASS_FOLDERS
        classes = sorted(folders) if few and "" not in folders else []
    reader = PictureReader(
        channels=options.channels,
        patient_pattern=options.patient_pattern,
        patient_from=options.patient_from,
        label_from_folder=bool(classes),
    )
    named = options.patient_pattern or options.patient_from != "none"
    if options.split_by == "patient" and not named and not (table and table.patient_column):
        raise UserError(
            f"--source {source}: nothing says which patient a picture shows, so patients cannot be "
            "kept on one side of the split. Pass --patient-column with --labels, or "
            r"--patient-pattern (for the names of the Kermany films: 'IM-\d+|person\d+'), or "
            "--patient-from folder or file; --split-by image divides pictures as if each were "
            "somebody else, which overstates every score if they are not."
        )
    remedy = "Left out; mend --patient-pattern or the table."
    layout = film_layout("image_folder", options, options.image_size or 512)
    request = _request(
        "image_folder", options, out, files, reader, layout, remedy,
        table, columns if not classes else ("label",),
    )  # fmt: skip
    if classes:
        listed = ", ".join(f"{name} {folders[name]:,}" for name in classes)
        request.notes.append(
            f"labels are the names of the folders ({listed}); --labels none leaves them out."
        )
    return request


def _arrays(options: Any, out: Path, source: Path) -> FilmRequest:
    path, names = locate_medmnist(str(source), options.download)
    files = find_array_films(path)
    reader = ArrayFilmReader(channels=options.channels, labels=names)
    size = options.image_size or reader.side(files[0])
    layout = film_layout("image_folder", options, size, margin=0.0, clahe="none")
    request = _request(
        "image_folder", options, out, files, reader, layout, "", None, ("label",), by="published"
    )
    request.notes.append(MEDMNIST_NOTE)
    return request


def _request(
    name: str,
    options: Any,
    out: Path,
    files: list[FilmFile],
    reader: FilmReader,
    layout: FilmLayout,
    remedy: str,
    table: LabelTable | None,
    columns: tuple[str, ...],
    by: str | None = None,
) -> FilmRequest:
    split = film_split(options, by)
    salt, note = patient_salt(options)
    pseudonyms = Pseudonyms(salt, needed=split.by == "patient", remedy=remedy)
    work = MakeFilmShard(
        out=out,
        reader=reader,
        layout=layout,
        pseudonyms=pseudonyms,
        table=table,
        label_columns=columns,
        keep_unlabelled=getattr(options, "unlabelled", "reject") == "keep",
        # A DICOM film was judged when it was read; other colour pictures are no films at all.
        watch_polarity=isinstance(reader, PictureReader) and layout.channels == 1,
        may_crash=isinstance(reader, DicomFilmReader),
    )
    notes = [note] if note else []
    if table is not None:
        path = Path(getattr(options, "labels", None) or "labels.csv")
        _check_unambiguous(table, files, path)
        notes += _unlisted(table, files, path)
    return FilmRequest(files, work, split, notes)


def _table(path: Path | None, options: Any) -> tuple[LabelTable | None, tuple[str, ...]]:
    if path is None:
        return None, ()
    columns = tuple(options.label_columns)
    table = read_label_table(path, options.key_column, columns, options.patient_column)
    return table, columns


def _check_unambiguous(table: LabelTable, files: list[FilmFile], path: Path) -> None:
    """Refuse a table that names by its bare name a file that is in two folders.

    Raises:
        UserError: It does.
    """
    bare = Counter(PurePosixPath(file.name).name for file in files)
    twice = next((name for name, n in bare.items() if n > 1 and table.row_of([name])), None)
    if twice is not None:
        raise UserError(
            f"{path}: lists {twice}, but {bare[twice]} folders of the source hold a file of that "
            "name. Name the films in the table by their paths below the source."
        )


def _unlisted(table: LabelTable, files: list[FilmFile], path: Path) -> list[str]:
    """A sentence where the table lists films that are not there; none for tables of UIDs."""
    keys = [key for file in files for key in (file.name, *_file_keys(file))]
    missing, listed = table.unused(keys), len(table.rows)
    if missing in (0, listed):
        return []
    return [f"{path}: {missing:,} of {listed:,} films that it lists are not in the source."]


def _file_keys(file: FilmFile) -> tuple[str, str]:
    return Path(file.name).name, Path(file.name).stem
