"""Who is the same patient, how a cache names patients, and when two names mean the same people.

Every room may import it.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from provenance import UserError

# In use where no salt is given. Everybody knows it, so short identifiers can be found by trying.
KNOWN_SALT = "understudy"

Ids = Literal["as_numbers", "as_written"]

_PSEUDONYM = re.compile(r"patient_[0-9a-f]{12}")
# A whole number, also as a float's text (`7.0`, `7.`, in German `7,0`) and in KiTS19's own form,
# which some systems write in capitals. `7,000` may be seven thousand, so it is text.
_NUMBER = re.compile(r"(?i:case_)?([+-]?)(\d+)(\.0*|,00?)?")
# How a table keeps a spreadsheet from taking `007` for a number: `="007"`, `'007`.
_MEANT_AS_TEXT = re.compile(r"=\"(.*)\"|'([+-]?\d.*)")
# As a spreadsheet or a float writes what it has rounded, or shortened (`1E5` for 100000, and for a
# code `1E5` that it took for a number). No exponent of a float has four digits, so `12e3456` is a
# code.
_ROUNDED = re.compile(r"[+-]?\d+(?:[.,]\d*e[+-]?\d+|e[+-]\d+|e\d{1,3})", re.IGNORECASE)
# Integers up to here have a float of their own.
_EXACT_IN_FLOAT = 2**53
# Missing values as pandas, R and spreadsheets write them.
_NOBODY = {"nan", "nat", "na", "<na>", "n/a", "#n/a", "null", "none", "-", "?"}
# Marks that text.strip() leaves: of byte order, of direction, and of no width; a DICOM padding.
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\0"


class RoundedNumberError(ValueError):
    """An identifier that a program has rounded or shortened: it does not tell who is who.

    Its sentence does not hold the identifier, so it may be kept.
    """

    def __init__(self) -> None:
        super().__init__(
            "its patient is a number that a spreadsheet or a program has rounded or shortened, "
            "such as 1E+11 or 1E5, so several people may have become one, or one several. Export "
            "the identifiers as text; if they do look like this, pass --patient-ids as_written."
        )


def as_written(identifier: str) -> str:
    """Return an identifier without surrounding blanks and marks, in the Unicode form NFC.

    macOS names folders in NFD and tables are mostly in NFC: the same name in other bytes.
    """
    text, before = unicodedata.normalize("NFC", identifier), ""
    while text != before:
        text, before = text.strip().strip(_INVISIBLE), text
    return text


def identity(identifier: str, ids: Ids = "as_numbers") -> str:
    """Return what all spellings of one patient have in common; empty for nobody.

    Args:
        identifier: As a table, a folder or a DICOM file has it.
        ids: as_numbers: a whole number is its decimal text, however it is written: `7`, `7.0`,
            `7,0`, `+7`, `007`, `="007"` and KiTS19's `case_00007` are the patient `7`; `-7` is
            another. What stands for a missing value (`nan`, `None`, `NULL`, `NA`, `N/A`, `NaT`,
            `-`, `?`) is nobody. Other text is itself, in its own upper and lower case.
            as_written: every spelling is a patient of its own.

    Raises:
        RoundedNumberError: With as_numbers, `1.23457E+11`, `5e0`, or a whole number with `.0` that
            is too large for a float to hold exactly.
    """
    text = as_written(identifier)
    if ids == "as_written":
        return text
    if meant := _MEANT_AS_TEXT.fullmatch(text):
        text = as_written(meant[1] or meant[2] or "")
    if text.lower() in _NOBODY:
        return ""
    if _ROUNDED.fullmatch(text):
        raise RoundedNumberError
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    sign, digits, fraction = match.groups()
    # Not by int(): it refuses thousands of digits.
    number = "".join(str(unicodedata.decimal(digit)) for digit in digits).lstrip("0") or "0"
    too_long = len(number) > len(str(_EXACT_IN_FLOAT))
    if fraction and (too_long or int(number) > _EXACT_IN_FLOAT):
        raise RoundedNumberError
    return f"-{number}" if sign == "-" and number != "0" else number


def pseudonym(identifier: str, salt: str) -> str:
    """Return `patient_` and 12 hex digits of the salted SHA-256 of an identifier."""
    return "patient_" + salted_digits(f"{salt}:{identifier}", 12)


def salt_check(salt: str) -> str:
    """Eight hex digits that tell two salts apart without saying what they are."""
    return salted_digits(f"{salt}:check", 8)


def salted_digits(text: str, count: int) -> str:
    """The first hex digits of the SHA-256 of a text that begins with a salt."""
    # Names of files may hold bytes that are no UTF-8.
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:count]


@dataclass(frozen=True, order=True)
class PatientNames:
    """How patients are named.

    Attributes:
        named_by: "pseudonym", salted hashes; or "source", names as the source has them.
        salt_check: See the function of this name; None where it is not recorded, or needs none.
        ids: "as_numbers": 7, 007 and 7.0 are one patient; "as_written": they are three.
        salt_is_lost: The salt was thrown away, so nobody can name another patient by it.
    """

    named_by: str
    salt_check: str | None = None
    ids: str = "as_numbers"
    salt_is_lost: bool = False

    @classmethod
    def guessed(cls, names: Iterable[str]) -> "PatientNames":
        """For data of earlier versions, which do not say it: by what the names look like."""
        hashed = any(_PSEUDONYM.fullmatch(name) for name in names)
        return cls("pseudonym" if hashed else "source", ids="as_written")

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "PatientNames":
        """Back from `plain`.

        Raises:
            UserError: It is nothing that `plain` gives.
        """
        told = plain if isinstance(plain, Mapping) else {}
        named_by, check, ids = (told.get(name) for name in ("named_by", "salt_check", "ids"))
        texts = isinstance(named_by, str) and isinstance(ids, str)
        if not texts or not isinstance(check, str | None):
            raise UserError(
                f"How patients are named is not told as this software tells it ({str(plain)[:200]}"
                "). Use the file as it was written."
            )
        return cls(str(named_by), check, str(ids), told.get("salt_is_lost") is True)

    def plain(self) -> dict[str, Any]:
        """As a manifest or a checkpoint holds it."""
        return {name: value for name, value in asdict(self).items() if value is not False}

    def comparable(self, other: "PatientNames") -> bool:
        """Whether one person has names under both that can be compared."""
        return self.same_salt(other) and self.same_ids(other)

    def same_salt(self, other: "PatientNames") -> bool:
        """Whether one salt made both, as far as is recorded; names in clear need the known one."""
        salts = [
            KNOWN_SALT_CHECK if names.named_by == "source" else names.salt_check
            for names in (self, other)
        ]
        return None not in salts and salts[0] == salts[1]

    def same_ids(self, other: "PatientNames") -> bool:
        """Whether both take the same spellings for one patient; names in clear are read anew."""
        kinds = {
            names.ids if names.named_by == "pseudonym" else "as_numbers" for names in (self, other)
        }
        return len(kinds) == 1


def why_not_comparable(
    strange: Sequence[PatientNames], ours: PatientNames, one_salt: bool
) -> tuple[str, str]:
    """Why names of several kinds cannot be compared, and a sentence on how they could.

    Args:
        strange: The kinds that cannot be compared.
        ours: With which.
        one_salt: One salt is known to have made them all.
    """
    reasons: list[str] = []
    remedies: list[str] = []
    if not all(theirs.same_ids(ours) for theirs in strange):
        reasons.append(
            "one takes a whole number for one patient however it is written, and the other does "
            "not (--patient-ids)"
        )
        remedies.append("the same --patient-ids")
    salted = [] if one_salt else [theirs for theirs in strange if not theirs.same_salt(ours)]
    if any(one.salt_is_lost for one in (ours, *salted)) and salted:
        reasons.append(
            "one names patients by a salt that was thrown away when a generator was handed on"
        )
        return ", and ".join(reasons), (
            "Who has the generator's checkpoint can compare patients too, with a folder of it "
            "that keeps their names: export.py generator --patient-names keep."
        )
    if any(theirs.named_by != ours.named_by for theirs in salted):
        reasons.append(
            "one names patients as their source does, and the other by a salt of its own"
        )
        remedies.append("one --patient-salt (or, of public names, --keep-patient-names)")
    elif any(theirs.salt_check is None or ours.salt_check is None for theirs in salted):
        reasons.append("which --patient-salt made the names of patients is not recorded")
        remedies.append("one --patient-salt")
    elif salted:
        reasons.append("their patients are named with different salts (--patient-salt)")
        remedies.append("one --patient-salt")
    remedy = f"With {' and '.join(remedies)} for both, patients are compared too."
    return ", and ".join(reasons), remedy


def key_of(name: str) -> str:
    """What is equal for equal people: a pseudonym as it is, a name as that of the known salt.

    Pseudonyms of different salts are never equal.
    """
    if _PSEUDONYM.fullmatch(name):
        return name
    try:
        return pseudonym(identity(name), KNOWN_SALT)
    except RoundedNumberError:  # kept as it was written
        return pseudonym(as_written(name), KNOWN_SALT)


KNOWN_SALT_CHECK = salt_check(KNOWN_SALT)
