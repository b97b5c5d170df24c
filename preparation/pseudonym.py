"""What a cache calls a patient: a pseudonym, or the source's name where somebody asks for it."""

import re
from dataclasses import dataclass
from pathlib import Path

from patient_names import (
    KNOWN_SALT,
    Ids,
    PatientNames,
    as_written,
    identity,
    pseudonym,
    salt_check,
    salted_digits,
)
from provenance import UserError

_LONGEST_NAME = 64


@dataclass(frozen=True)
class Naming:
    """How the patients of one cache are named.

    Attributes:
        salt: Mixed into the hashes that name patients; None: the source's own names are kept.
        ids: Which identifiers are one patient, see `identity`.
        prefix: Begins who a patient is: phantoms of different seeds are different people.
    """

    salt: str | None = KNOWN_SALT
    ids: Ids = "as_numbers"
    prefix: str = ""

    @property
    def is_nobodys(self) -> bool:
        """Whether it names phantoms: what they are called hides nobody."""
        return self.salt is None and bool(self.prefix)

    def patient_id(self, identifier: str) -> str:
        """The patient's name in the cache; empty where the identifier is nobody's.

        Raises:
            RoundedNumberError: See `identity`.
        """
        who = identity(identifier, self.ids)
        if not who:
            return ""
        if self.salt is None:
            return self.prefix + kept_name(who, self.ids)
        return pseudonym(self.prefix + who, self.salt)

    def alias(self, text: str) -> str:
        """A name in the cache for something that names no patient, such as a folder."""
        if self.salt is None:
            return self.prefix + kept_name(as_written(text), "as_written")
        return pseudonym(self.prefix + as_written(text), self.salt)

    def hidden(self, text: str) -> str:
        """What settings keep of something that was typed and may identify, to compare it."""
        return text if self.salt is None else salted_digits(f"{self.salt}:{text}", 12)

    def note(self) -> list[str]:
        """A sentence where names are made from identifiers with the built-in, public salt."""
        if self.salt != KNOWN_SALT:
            return []
        return [
            "patients are named by hashes with the built-in salt, which is public, so short "
            "identifiers can be guessed. Pass --patient-salt-file before you give a cache to "
            "others."
        ]

    @property
    def names(self) -> PatientNames:
        """What settings and manifest say of it."""
        if self.salt is None:
            return PatientNames("source", None, self.ids)
        return PatientNames("pseudonym", salt_check(self.salt), self.ids)


@dataclass(frozen=True, kw_only=True)
class SaltOptions:
    """What is mixed into the names of patients and files.

    Attributes:
        patient_salt: Salt of the hashes that name patients and files; not stored. The built-in one
            is public.
        patient_salt_file: File with the salt: a secret of your own, without which nobody can guess
            short identifiers from a shared cache.
    """

    patient_salt: str = KNOWN_SALT
    patient_salt_file: Path | None = None

    def read(self) -> str:
        """The salt.

        Raises:
            UserError: It is empty, or the file that shall hold it is missing or no text.
        """
        path = self.patient_salt_file
        if path is None:
            if not self.patient_salt.strip():
                raise UserError("--patient-salt: is empty. Give a secret of your own.")
            return self.patient_salt
        try:
            salt = path.read_text(encoding="utf-8").strip() if path.is_file() else None
        except UnicodeDecodeError:
            raise UserError(f"--patient-salt-file {path}: is no text in UTF-8.") from None
        if salt:
            return salt
        raise UserError(
            f"--patient-salt-file {path}: is {'missing' if salt is None else 'empty'}. Make one, "
            f"for example: openssl rand -hex 32 > {path}"
        )

    @property
    def is_known(self) -> bool:
        """Whether it is the built-in salt, which is public."""
        return self.patient_salt_file is None and self.patient_salt == KNOWN_SALT

    def note(self) -> list[str]:
        """See `Naming.note`."""
        return Naming(self.read()).note()


@dataclass(frozen=True, kw_only=True)
class PatientOptions:
    """Which identifiers are one patient, and how the cache names patients.

    Attributes:
        patient_ids: as_numbers: a whole number is one patient however it is written (7, 7.0, 007,
            case_00007); merged spellings are listed. as_written: each spelling is a patient.
        salt: See `SaltOptions`.
    """

    patient_ids: Ids = "as_numbers"
    salt: SaltOptions = SaltOptions()

    def naming(self, kept_by: str | None = None) -> Naming:
        """How patients are named.

        Args:
            kept_by: The flag that keeps the source's own names, where it is given.

        Raises:
            UserError: The salt cannot be read, or is given for names that are kept.
        """
        if kept_by is None:
            return Naming(self.salt.read(), self.patient_ids)
        if not self.salt.is_known:
            raise UserError(
                f"{kept_by}: nothing is hashed then, so a salt has no effect. Leave out one of "
                "them."
            )
        return Naming(None, self.patient_ids)


def kept_name(who: str, ids: Ids) -> str:
    """Return a patient's own name as files may be called; different patients stay different.

    Args:
        who: See `identity`; a whole number becomes KiTS19's `case_00007`.
        ids: What `who` was made with.
    """
    if ids == "as_numbers" and who.isdecimal() and len(who) <= _LONGEST_NAME:
        return f"case_{who:0>5}"
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", who)[:_LONGEST_NAME]
    return safe if safe == who else f"{safe}_{salted_digits(who, 8)}"


def film_pseudonym(name: str, salt: str) -> str:
    """`film_` and 16 hex digits: a million films then collide with probability 3e-8."""
    return "film_" + salted_digits(f"{salt}:film:{name}", 16)
