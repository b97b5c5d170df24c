"""A run of films becomes one shard: read, named, labelled, processed, written whole.

The array is streamed, one film in memory at a time; the record comes last, so a shard without
one does not count. Everything in both is a function of the source and the settings.
"""

import hashlib
import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from preparation.disk import record_path
from preparation.films.duplicates import perceptual_hash
from preparation.films.film import NOT_ASKED_FOR, Film, FilmFile, FilmReader, RejectedFilm
from preparation.films.film_layout import FilmLayout
from preparation.films.inversion import looks_inverted
from preparation.films.names import write_names
from preparation.films.shards.labels import LabelsOfFilms
from preparation.films.shards.patients import PatientsOfFilms
from preparation.films.shards.shard import HEADER_BYTES, FilmShard, film_bytes, write_header
from preparation.films.stored_film import as_stored
from preparation.left_out import cannot_be_read, stop_at_the_first
from preparation.pseudonym import film_pseudonym
from provenance import read_json, sha256_of, whole_file, write_json_atomic

# A decoder that is busy for longer will not come back; its process is ended by the alarm.
SECONDS_PER_FILM = 120


@dataclass(frozen=True)
class MakeFilmShard:
    """Makes one shard; sent to the workers once.

    Attributes:
        out: The cache folder.
        reader: Reads one film of the source.
        layout: What all films of the cache have in common.
        patients: How the patients of films are named.
        labels: Which labels films get.
        note_inverted: Note chest films that look inverted.
        strict: Stop at the first file that is left out.
        may_crash: The reader uses decoders that can take their process along.
    """

    out: Path
    reader: FilmReader
    layout: FilmLayout
    patients: PatientsOfFilms
    labels: LabelsOfFilms = LabelsOfFilms()
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
        most_bytes = HEADER_BYTES + len(shard.files) * film_bytes(self.layout)
        with whole_file(self.out / relative, most_bytes) as stream:
            stream.write(bytes(HEADER_BYTES))  # room for it; the count is known at the end
            for file in shard.files:
                private = {"id": film_pseudonym(file.name, self.patients.salt), "file": file.name}
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
            write_header(stream, self.layout, len(items))
        if not items:
            (self.out / relative).unlink()
        record = {
            "shard": shard.name,
            "digest": shard.digest(self.patients.salt),
            "array": relative if items else None,
            "sha256": sha256_of(self.out / relative) if items else None,
            "num_films": len(items),
            "num_files": len(shard.files),
            "items": items,
            "rejected": rejected,
        }
        # Before the record: what has one is not looked at again.
        if self.patients.phantom_seed is None:
            write_names(self.out, shard.name, named)
        write_json_atomic(record_path(self.out, shard.name), record)
        return record

    def stop_at(self, shard: FilmShard, rejected: Sequence[Sequence[str]]) -> None:
        """With `strict`, stop at the first (id, reason, sentence) that counts.

        Raises:
            UserError: There is one; names its file.
        """
        counts = rejected if self.strict and self.patients.phantom_seed is None else ()
        file_of = {film_pseudonym(file.name, self.patients.salt): file.name for file in shard.files}
        left_out = (
            (file_of[film], f"{reason}: {sentence}")
            for film, reason, sentence in counts
            if reason not in NOT_ASKED_FOR
        )
        stop_at_the_first(left_out)

    def finished(self, shard: FilmShard, verify: bool) -> bool | None:
        """Whether a shard needs no more work; None where it was made from other files.

        Args:
            shard: The shard as the source has it now.
            verify: Compare the array's bytes with their hash, not only their number.
        """
        path = record_path(self.out, shard.name)
        if not path.is_file():
            return False
        record = read_json(path)
        if record["digest"] != shard.digest(self.patients.salt):
            return None
        if record["array"] is None:
            return True
        array = self.out / record["array"]
        expected = HEADER_BYTES + record["num_films"] * film_bytes(self.layout)
        if not array.is_file() or array.stat().st_size != expected:
            return False
        return not verify or sha256_of(array) == record["sha256"]

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
        row = self.labels.row_of(film)
        labels = self.labels.of(film, row)
        patient = self.patients.of(film, self.labels.patient_in(row), file.name)
        stored, spacing, suspicions = as_stored(film, self.layout)
        if self.note_inverted and looks_inverted(film.pixels):
            suspicions.append("looks_inverted")
        height, width = film.pixels.shape[:2]
        item = {
            "id": film_pseudonym(file.name, self.patients.salt),
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


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
