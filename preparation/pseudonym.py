"""Who an image shows, as a pseudonym; the identifier itself is never stored."""

from dataclasses import dataclass
from pathlib import Path

from patient_names import KNOWN_SALT, salted_digits
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


def film_pseudonym(name: str, salt: str) -> str:
    """`film_` and 16 hex digits: a million films then collide with probability 3e-8."""
    return "film_" + salted_digits(f"{salt}:film:{name}", 16)
