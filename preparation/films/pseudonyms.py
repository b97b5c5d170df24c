"""Who a film shows, as a pseudonym; the identifier itself is never stored."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from preparation.films.film import Film, FilmFile, RejectedFilm
from preparation.pseudonym import KNOWN_SALT, pseudonym
from provenance import UserError


@dataclass(frozen=True, kw_only=True)
class SaltOptions:
    """What is mixed into the names of patients and films.

    Attributes:
        patient_salt: Mixed into the hashes that name patients and films. Not stored.
        patient_salt_file: File that holds the salt instead: a secret of your own, without which
            short identifiers cannot be guessed from a shared cache.
    """

    patient_salt: str = KNOWN_SALT
    patient_salt_file: Path | None = None

    def read(self) -> str:
        """The salt.

        Raises:
            UserError: The file that shall hold it is missing or empty.
        """
        path = self.patient_salt_file
        if path is None:
            return self.patient_salt
        if path.is_file() and (salt := path.read_text().strip()):
            return salt
        raise UserError(
            f"--patient-salt-file {path}: is {'empty' if path.is_file() else 'missing'}. Make one, "
            f"for example: openssl rand -hex 32 > {path}"
        )

    def note(self) -> list[str]:
        """A sentence where everybody knows the salt of names made from identifiers."""
        if self.patient_salt_file is not None or self.patient_salt != KNOWN_SALT:
            return []
        return [
            "patients are named by hashes with the salt that everybody knows; short identifiers "
            "can be guessed from them. Pass --patient-salt-file before a cache leaves your hands."
        ]


@dataclass(frozen=True)
class Pseudonyms:
    """Names films and patients by salted hashes.

    Args:
        salt: Mixed into every hash. Who knows it can find a pseudonym by trying identifiers, so
            it is not stored; the same salt gives the same names in every cache.
        needed: Whether a film without a patient is refused, as a split by patient must.
        remedy: What to pass instead, said when a film is refused.
    """

    salt: str
    needed: bool
    remedy: str

    def film(self, file: FilmFile) -> str:
        """`film_` and 16 hex digits: a million films then collide with probability 3e-8."""
        return "film_" + _digits(f"{self.salt}:film:{file.name}", 16)

    def patient(self, file: FilmFile, film: Film, listed: str | None) -> str:
        """The patient's pseudonym.

        Args:
            file: Where the film lies.
            film: What was read; its `patient` is used where the table names none.
            listed: The patient that the label table names, if any.

        Raises:
            RejectedFilm: Nobody is named, and the films are split by patient.
        """
        identifier = (listed or film.patient or "").strip()
        if identifier:
            return pseudonym(identifier, self.salt)
        if self.needed:
            raise RejectedFilm(
                "no_patient",
                f"names no patient, so it cannot be kept on one side of the split. {self.remedy}",
            )
        return "patient_" + _digits(f"{self.salt}:nobody:{file.name}", 12)


def salt_check(salt: str) -> str:
    """Eight hex digits that tell two salts apart, for joining parts of one preparation."""
    return _digits(f"{salt}:check", 8)


def _digits(text: str, count: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:count]
