"""A picture of a report."""

import base64
from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A picture of the report; `png` None means that it is lacking, and the caption says why."""

    title: str
    png: bytes | None
    alt: str
    caption: str = ""

    @property
    def source(self) -> str:
        """Data URI, so that the page needs no other file."""
        return "data:image/png;base64," + base64.b64encode(self.png or b"").decode("ascii")
