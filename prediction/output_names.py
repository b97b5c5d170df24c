"""Where the files that are made of an image lie: under its own name, in a folder of their kind."""

import hashlib
from pathlib import PurePosixPath

# What file systems take, less what a file is called while it is written.
_LONGEST_BYTES = 200


def output_of(folder: str, name: str, ending: str) -> str:
    """Path relative to the results, such as `overlays/a/scan.nii.gz.png` of `a/scan.nii.gz`.

    A name that ends so already keeps its own; a very long one is cut, with a hash of all of it.
    """
    path = PurePosixPath(name)
    file = path.name if path.name.lower().endswith(ending) else f"{path.name}{ending}"
    encoded = file.encode()
    if len(encoded) > _LONGEST_BYTES:
        digest = hashlib.sha256(encoded).hexdigest()[:16]
        start = encoded[: _LONGEST_BYTES - 40].decode(errors="ignore")
        file = f"{start}_{digest}{ending}"
    return str(PurePosixPath(folder) / path.parent / file)
