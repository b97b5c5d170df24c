"""What the source calls its files: said on the screen, and never written into the cache.

The cache and all sentences that it keeps know a volume's files by names made of its shard's.
`<folder>#3` is the third entry of a folder, in the order of their names.
"""

import re
from pathlib import Path

from preparation.text_file import as_text

_TOKEN = re.compile(r"[A-Za-z0-9_.#/-]+")


def numbered(folder: Path) -> list[tuple[str, Path]]:
    """Return (`#1`, entry), (`#2`, entry), ... of a folder, in the order of their names."""
    return [(f"#{number}", path) for number, path in enumerate(sorted(folder.iterdir()), start=1)]


class OwnNames:
    """The source's names, by those of the cache."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Path]] = {}

    def add(self, name: str, own: str, path: Path) -> str:
        """Remember what the source calls a file or folder, and where it lies; returns `name`."""
        self._known[name] = (as_text(own), path)
        return name

    def rows(self) -> list[tuple[str, str]]:
        """(name in the cache, the source's) of all that differ, sorted."""
        return sorted((name, own) for name, (own, _) in self._known.items() if own != name)

    def in_text(self, text: str) -> str:
        """Return a sentence with the source's names in it."""
        return _TOKEN.sub(self._own, text)

    def _own(self, match: re.Match[str]) -> str:
        token = match[0].rstrip(".")  # the end of a sentence
        name, *numbers = token.split("#")
        if name not in self._known:
            return match[0]
        own, path = self._known[name]
        try:
            for number in numbers:
                path = sorted(path.iterdir())[int(number) - 1]
                own = f"{own}/{as_text(path.name)}"
        except (OSError, ValueError, IndexError):  # it changed since
            return match[0]
        return own + match[0][len(token) :]
