"""Seeds of whatever is random, as functions of what it is for."""

import hashlib


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed that is a fixed function of its parts, the same on every machine."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
