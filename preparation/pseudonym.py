"""The name of a patient whom nobody shall recognise."""

import hashlib

# In use where none is given. Everybody knows it, so short identifiers can be found by trying.
KNOWN_SALT = "understudy"


def pseudonym(identifier: str, salt: str) -> str:
    """Return `patient_` and 12 hex digits of the salted SHA-256 of an identifier."""
    return "patient_" + hashlib.sha256(f"{salt}:{identifier}".encode()).hexdigest()[:12]
