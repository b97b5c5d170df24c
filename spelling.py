"""What a misspelt word, or the path of what is not there, may have meant."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

_MOST_NAMES = 2000  # in a folder; comparing with more takes seconds


def meant(given: str, known: Sequence[str]) -> str:
    """Such as " Did you mean --num_images?"; empty where nothing known is near."""
    near = difflib.get_close_matches(given, known, 1)
    return f" Did you mean {near[0]}?" if near else ""


def meant_path(given: Path, others: Iterable[Path] = ()) -> str:
    """Such as " Did you mean configs/kits19/unet_light.yaml?"; empty where nothing is near.

    Args:
        given: What is not there, as it was typed.
        others: Files that may be meant by their name alone, wherever they lie.
    """
    near = _nearest(Path(given))
    if near == Path(given):  # it is there, and of another kind than was expected
        return ""
    if near is None:
        by_stem: dict[str, Path] = {}
        for path in others:
            by_stem.setdefault(path.stem, path)
        stems = difflib.get_close_matches(Path(given).stem, list(by_stem), 1)
        near = by_stem[stems[0]] if stems else None
    return f" Did you mean {near}?" if near is not None else ""


def from_here(path: Path) -> Path:
    """Relative where it lies below the working folder, as a person would type it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _nearest(given: Path) -> Path | None:
    """The path with each part that is not there replaced by the nearest name beside it."""
    found = Path(given.anchor)
    for part in given.parts[1:] if given.anchor else given.parts:
        if (found / part).exists():
            found /= part
            continue
        try:
            names = [entry.name for entry in found.iterdir()]
        except OSError:
            return None
        near = [name for name in names if Path(name).stem == part]
        if not near and len(names) <= _MOST_NAMES:
            near = difflib.get_close_matches(part, names, 1)
        if not near:
            return None
        found /= near[0]
    return found
