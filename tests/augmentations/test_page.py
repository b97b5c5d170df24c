"""docs/augmentations.md shows every operation and preset that there is, in the words of the code.

`PYTHONPATH=. python tests/augmentations/test_page.py` prints the two tables.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

from docstring_parser import parse

from augmentations.catalogue import OPERATIONS
from augmentations.presets import PRESET_SOURCES

PAGE = Path(__file__).parents[2] / "docs" / "augmentations.md"


def rows() -> list[str]:
    """A row for each operation on images: name and settings, what, source, library, meaning."""
    found = []
    for name, kind in OPERATIONS.items():
        told = parse(kind.__doc__ or "")
        settings = ", ".join(
            "operations" if one.name == "operations" else f"{one.name} {shown(one.default)}"
            for one in fields(kind)
            if one.name not in ("probability", "strength")
        )
        settings = f": {settings}" if settings else ""
        what = " ".join((told.short_description or "").split())
        cells = [f"`{name}`{settings}", what, kind.source, kind.library, kind.breaks_meaning or "-"]
        found.append(f"| {' | '.join(cells)} |")
    return found


def shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def preset_rows() -> list[str]:
    return [f"| `{name}` | {told} |" for name, told in PRESET_SOURCES.items() if told]


def test_the_page_shows_every_operation_and_preset() -> None:
    page = PAGE.read_text(encoding="utf-8").splitlines()
    for row in (*rows(), *preset_rows()):
        assert row in page, row


if __name__ == "__main__":
    print("\n".join((*preset_rows(), "", *rows())))
