"""How the patients of a cache are named, and when names of two caches mean the same people.

Every room may import it; it imports none.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

# In use where no salt is given. Everybody knows it, so short identifiers can be found by trying.
KNOWN_SALT = "understudy"

_PSEUDONYM = re.compile(r"patient_[0-9a-f]{12}")


def pseudonym(identifier: str, salt: str) -> str:
    """Return `patient_` and 12 hex digits of the salted SHA-256 of an identifier."""
    return "patient_" + salted_digits(f"{salt}:{identifier}", 12)


def salt_check(salt: str) -> str:
    """Eight hex digits that tell two salts apart without saying what they are."""
    return salted_digits(f"{salt}:check", 8)


def salted_digits(text: str, count: int) -> str:
    """The first hex digits of the SHA-256 of a text that begins with a salt."""
    return hashlib.sha256(text.encode()).hexdigest()[:count]


@dataclass(frozen=True, order=True)
class PatientNames:
    """How patients are named.

    Attributes:
        named_by: "pseudonym", salted hashes; or "source", names as the source has them.
        salt_check: See the function of this name; None where it is not recorded, or needs none.
        ids: "as_numbers": 7, 007 and 7.0 are one patient; "as_written": they are three.
    """

    named_by: str
    salt_check: str | None = None
    ids: str = "as_numbers"

    @classmethod
    def guessed(cls, names: Iterable[str]) -> "PatientNames":
        """For data of earlier versions, which do not say it: by what the names look like."""
        hashed = any(_PSEUDONYM.fullmatch(name) for name in names)
        return cls("pseudonym" if hashed else "source", ids="as_written")

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "PatientNames":
        """Back from `plain`."""
        return cls(str(plain["named_by"]), plain.get("salt_check"), str(plain["ids"]))

    def plain(self) -> dict[str, Any]:
        """As a manifest or a checkpoint holds it."""
        return asdict(self)

    def comparable(self, other: "PatientNames") -> bool:
        """Whether one person has names under both that can be compared."""
        salts = [
            KNOWN_SALT_CHECK if names.named_by == "source" else names.salt_check
            for names in (self, other)
        ]
        return None not in salts and salts[0] == salts[1]

    def key(self, name: str) -> str:
        """What is equal for equal people: a pseudonym as it is, a name as that of the known salt.

        Pseudonyms of different salts are never equal.
        """
        return name if _PSEUDONYM.fullmatch(name) else pseudonym(name, KNOWN_SALT)


KNOWN_SALT_CHECK = salt_check(KNOWN_SALT)
