"""A hundred films become one shard: read, named, labelled, processed, written whole.

The array is streamed, one film in memory at a time; the record comes last, so a shard without
one does not count. Everything in both is a function of the source and the settings.
"""

import hashlib
import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from numpy.lib import format as npy
from numpy.typing import NDArray

from datamodules.film_cache import FILMS_PER_SHARD
from patient_names import Ids, RoundedNumberError, pseudonym
from preparation.disk import record_path
from preparation.films.duplicates import perceptual_hash
from preparation.films.film import NOT_ASKED_FOR, Film, FilmFile, FilmReader, RejectedFilm
from preparation.films.film_layout import FilmLayout
from preparation.films.inversion import looks_inverted
from preparation.films.label_table import LabelTable
from preparation.films.names import write_names
from preparation.films.stored_film import as_stored
from preparation.left_out import cannot_be_read, stop_at_the_first
from preparation.pseudonym import Naming, film_pseudonym
from provenance import read_json, sha256_of, whole_file, write_json_atomic

# A decoder that is busy for longer will not come back; its process is ended by the alarm.
SECONDS_PER_FILM = 120
_HEADER_BYTES = 128


@dataclass(frozen=True)
class FilmShard:
    """A run of films in the order of the source."""

    name: str
    files: tuple[FilmFile, ...]

    def digest(self, salt: str) -> str:
        """Salted SHA-256 of the files' names and sizes: tells whether the source has changed."""
        text = "\n".join(
            [f"{salt}:files", *(f"{file.num_bytes} {file.name}" for file in self.files)]
        )
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def in_shards(files: Sequence[FilmFile]) -> list[FilmShard]:
    """Cut a list of films into shards of 128, numbered in their order."""
    return [
        FilmShard(f"films_{start // FILMS_PER_SHARD:06d}",
                  tuple(files[start : start + FILMS_PER_SHARD]))
        for start in range(0, len(files), FILMS_PER_SHARD)
    ]  # fmt: skip


class _Patient(NamedTuple):
    """Whom a film shows.

    Attributes:
        identifier: In clear, empty where nobody is named.
        patient_id: In the cache.
        split_key: What draws the split of this spelling.
        by_source: Whom the source names, as the cache would, where a table names somebody.
    """

    identifier: str
    patient_id: str
    split_key: str
    by_source: str | None = None


@dataclass(frozen=True)
class MakeFilmShard:
    """Makes one shard; sent to the workers once.

    Attributes:
        out: The cache folder.
        reader: Reads one film of the source.
        layout: What all films of the cache have in common.
        salt: Mixed into the hashes that name films and patients. Who knows it can find a name by
            trying identifiers, so it is not stored; the same one gives the same names everywhere.
        patient_ids: Which identifiers are one patient, see `identity`.
        phantom_seed: The films are drawn: nobody's, so no table of their names is kept, and those
            of other seeds are other people.
        no_patient: What to pass instead, said when a film names no patient and is refused for it;
            None keeps such films, each as somebody else.
        table: Label table, None where the source has none.
        label_columns: Labels that the cache keeps, by name.
        label_map: New names of labels that the source itself knows; the table's have theirs.
        keep_unlabelled: Keep a film that the table does not list, without labels.
        note_inverted: Note chest films that look inverted.
        strict: Stop at the first file that is left out.
        may_crash: The reader uses decoders that can take their process along.
    """

    out: Path
    reader: FilmReader
    layout: FilmLayout
    salt: str
    patient_ids: Ids = "as_numbers"
    phantom_seed: int | None = None
    no_patient: str | None = None
    table: LabelTable | None = None
    label_columns: tuple[str, ...] = ()
    label_map: Mapping[str, str] = field(default_factory=dict)
    keep_unlabelled: bool = False
    note_inverted: bool = False
    strict: bool = False
    may_crash: bool = False

    def __call__(self, shard: FilmShard) -> dict[str, Any]:
        """Make the shard's array and record, and return the record.

        Raises:
            OSError: The disk is full, or the cache cannot be written.
            UserError: With `strict`, a file is left out.
        """
        items: list[dict[str, Any]] = []
        rejected: list[tuple[str, str, str]] = []
        named: list[dict[str, str]] = []
        relative = f"arrays/{shard.name}.npy"
        most_bytes = _HEADER_BYTES + len(shard.files) * film_bytes(self.layout)
        with whole_file(self.out / relative, most_bytes) as stream:
            stream.write(bytes(_HEADER_BYTES))  # room for it; the count is known at the end
            for file in shard.files:
                private = {"id": film_pseudonym(file.name, self.salt), "file": file.name}
                named.append(private)
                film = self._film_or_refusal(file)
                if isinstance(film, RejectedFilm):
                    rejected.append((private["id"], film.reason, film.sentence))
                    self.stop_at(shard, rejected[-1:])
                    continue
                stored, item, private["identifier"] = film
                private |= {key: item[key] for key in ("patient_id", "split_key")}
                data = stored.tobytes()
                item.update(row=len(items), shard=shard.name, sha256=_sha256(data))
                items.append(item)
                stream.write(data)
            _write_header(stream, self.layout, len(items))
        if not items:
            (self.out / relative).unlink()
        record = {
            "shard": shard.name,
            "digest": shard.digest(self.salt),
            "array": relative if items else None,
            "sha256": sha256_of(self.out / relative) if items else None,
            "num_films": len(items),
            "num_files": len(shard.files),
            "items": items,
            "rejected": rejected,
        }
        if self.phantom_seed is None:  # before the record: what has one is not looked at again
            write_names(self.out, shard.name, named)
        write_json_atomic(record_path(self.out, shard.name), record)
        return record

    def stop_at(self, shard: FilmShard, rejected: Sequence[Sequence[str]]) -> None:
        """With `strict`, stop at the first (id, reason, sentence) that counts.

        Raises:
            UserError: There is one; names its file.
        """
        counts = rejected if self.strict and self.phantom_seed is None else ()
        file_of = {film_pseudonym(file.name, self.salt): file.name for file in shard.files}
        left_out = (
            (file_of[film], f"{reason}: {sentence}")
            for film, reason, sentence in counts
            if reason not in NOT_ASKED_FOR
        )
        stop_at_the_first(left_out)

    def _film_or_refusal(
        self, file: FilmFile
    ) -> tuple[NDArray[Any], dict[str, Any], str] | RejectedFilm:
        try:
            return self._film(file)
        except RejectedFilm as why:
            return why
        except Exception as error:  # one bad file never ends a batch
            return RejectedFilm("unreadable", cannot_be_read(error, file.path))

    def _film(self, file: FilmFile) -> tuple[NDArray[Any], dict[str, Any], str]:
        """Read and process one film; its item lacks only the row in the shard.

        The last value is its patient's identifier in clear, empty where there is none.
        """
        film = self._read(file)
        row = self.table.row_of(film.keys) if self.table else None
        labels = self._labels(film, row)
        patient = self._patient(file, film, row)
        stored, spacing, suspicions = as_stored(film, self.layout)
        if self.note_inverted and looks_inverted(film.pixels):
            suspicions.append("looks_inverted")
        height, width = film.pixels.shape[:2]
        item = {
            "id": film_pseudonym(file.name, self.salt),
            "patient_id": patient.patient_id,
            "split_key": patient.split_key,
            "patient_by_source": patient.by_source,
            "split": film.split,
            "source_sha256": sha256_of(file.path) if "#" not in file.name else None,
            "pixel_sha256": film.pixel_sha256,
            "source_height": height,
            "source_width": width,
            "spacing_mm": spacing,
            "spacing_from": film.spacing_from,
            "view": film.geometry.get("view"),
            "photometric": film.geometry.get("photometric"),
            "window": film.geometry.get("window"),
            "suspicions": suspicions,
            "labels": labels,
            "perceptual_hash": f"{perceptual_hash(stored):016x}",
        }
        return stored, item, patient.identifier

    def _read(self, file: FilmFile) -> Film:
        """Read under an alarm that ends the process: a decoder in C hears nothing milder."""
        watched = multiprocessing.parent_process() is not None
        if watched:
            signal.alarm(SECONDS_PER_FILM)
        try:
            return self.reader(file)
        finally:
            if watched:
                signal.alarm(0)

    def _patient(self, file: FilmFile, film: Film, row: dict[str, str] | None) -> _Patient:
        """Whom a film shows: the table's patient, else whom the source names."""
        listed = row.get(self.table.patient_column or "") if self.table and row else None
        named = Naming(self.salt, self.patient_ids)
        by_source = replace(named, ids="as_written") if film.each_alone else named
        own = (film.patient or "").strip()
        try:
            identifier, patient, other = (
                (listed or "").strip(),
                named.patient_id(listed or ""),
                None,
            )
            if patient:
                with suppress(RoundedNumberError):
                    other = by_source.patient_id(own) or None
            else:
                identifier, patient = own, by_source.patient_id(own)
        except RoundedNumberError as error:
            raise RejectedFilm("rounded_patient", str(error)) from None
        if not patient:
            if self.no_patient is not None:
                raise RejectedFilm(
                    "no_patient",
                    "names no patient, so it cannot be kept on one side of the split. "
                    f"{self.no_patient}",
                )
            nobody = pseudonym(f"nobody:{file.name}", self.salt)
            return _Patient("", nobody, nobody)
        split_key = pseudonym(identifier, self.salt)
        if self.phantom_seed is not None:
            patient = f"seed{self.phantom_seed}_{split_key.removeprefix('patient_')}"
        return _Patient(identifier, patient, split_key, other)

    def _labels(self, film: Film, row: dict[str, str] | None) -> dict[str, str]:
        """The film's labels by column: the table's, else what the source knows."""
        own = {name: self.label_map.get(value, value) for name, value in film.labels.items()}
        known = {**own, **(row or {})}
        labels = {name: known.get(name, "") for name in self.label_columns}
        if self.label_columns and not all(labels.values()) and not self.keep_unlabelled:
            missing = ", ".join(name for name, value in labels.items() if not value)
            where = "is not in the label table" if self.table and row is None else "has no label"
            raise RejectedFilm(
                "no_label",
                f"{where} ({missing}). Left out; pass --unlabelled keep to have it without.",
            )
        return labels


def finished(work: MakeFilmShard, shard: FilmShard, verify: bool) -> bool | None:
    """Whether a shard needs no more work; None where it was made from other files.

    Args:
        work: What makes it.
        shard: The shard as the source has it now.
        verify: Compare the array's bytes with their hash, not only their number.
    """
    path = record_path(work.out, shard.name)
    if not path.is_file():
        return False
    record = read_json(path)
    if record["digest"] != shard.digest(work.salt):
        return None
    if record["array"] is None:
        return True
    array = work.out / record["array"]
    expected = _HEADER_BYTES + record["num_films"] * film_bytes(work.layout)
    if not array.is_file() or array.stat().st_size != expected:
        return False
    return not verify or sha256_of(array) == record["sha256"]


def film_bytes(layout: FilmLayout) -> int:
    """Bytes of one stored film."""
    return layout.channels * layout.stored_size**2 * layout.bit_depth // 8


def _write_header(stream: BinaryIO, layout: FilmLayout, count: int) -> None:
    size = layout.stored_size
    shape = (count, size, size) if layout.channels == 1 else (count, 3, size, size)
    descr = "|u1" if layout.bit_depth == 8 else "<u2"
    stream.seek(0)
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    assert stream.tell() == _HEADER_BYTES


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
