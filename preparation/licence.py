"""The licence of the data of a cache: stated when it is prepared, or afterwards.

It stands in the manifest and decides on no image, so that stating one makes no other cache.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from datamodules.open_cache import open_cache
from licences import Licence, known_data
from output_folder import locked
from provenance import UserError, read_json, write_checked_json

_NAMES_OF_KITS = re.compile(r"case_00\d{3}")


def licence(folder: Path, *, licence: str) -> Licence:
    """State the licence of a cache's data, or correct it.

    Nothing else in the cache changes, and it stays the same cache for trainings, studies and
    evaluations. Checkpoints and synthetic sets that were made before keep what they carry; see
    generate.py --licence.

    Args:
        folder: Folder of the cache.
        licence: Name of data that are known (kits19, 3d-ircadb, nih, kermany, chexpert, mimic-cxr,
            medmnist, own), a licence such as "CC BY-NC 4.0", or "<data>: <their licence>".
    """
    cache, stated = open_cache(folder), Licence.of_text(licence)
    refuse_of_phantom(cache.dataset, licence)
    with locked(cache.root, "prepare.py"):
        path = cache.root / "manifest.json"
        write_checked_json(path, {**cache.manifest, "licence": stated.plain()})
    return stated


def agreed_licence(out: Path, dataset: str, given: str | None, known: Licence | None) -> Licence:
    """The licence of a cache that is about to be written.

    Args:
        out: Its folder; a finished cache there keeps what was stated.
        dataset: The command that prepares it.
        given: What the person stated; None for nothing.
        known: What the command knows of its source; None for nothing.

    Raises:
        UserError: Another one was stated before, or one of a phantom.
    """
    if given is not None:
        refuse_of_phantom(dataset, given)
    told = Licence.of_text(given) if given is not None else None
    path = out / "manifest.json"
    before = Licence.of_plain(read_json(path).get("licence")) if path.is_file() else Licence()
    if before.is_stated and told not in (None, before):
        raise UserError(
            f"--licence {given}: the licence of {out} was stated as {before.in_words}. Nothing was "
            f'changed. To correct it: python prepare.py licence {out} --licence "{given}"'
        )
    return told or (before if before.is_stated else None) or known or Licence()


def refuse_of_phantom(dataset: str, given: str) -> None:
    """Refuse to state the licence of what nobody owns.

    Raises:
        UserError: The data are a phantom.
    """
    if dataset.startswith("phantom"):
        raise UserError(
            f"--licence {given}: {dataset} is drawn by this software and shows nobody. Leave it "
            "out."
        )


def licence_of_cases(names: Iterable[str]) -> Licence | None:
    """KiTS19's, where all cases are called as its are: case_00000 to case_00999."""
    found = [_NAMES_OF_KITS.fullmatch(name) for name in names]
    return known_data("kits19") if found and all(found) else None


def licence_of_medmnist(name: str) -> Licence:
    """That of a MedMNIST set, by its name or the name of its file."""
    return known_data("dermamnist" if name.lower().startswith("dermamnist") else "medmnist")


def guessed_note(licence: Licence, out: Path) -> str:
    """A sentence about a licence that nobody stated and the command took from the source."""
    return (
        f"from the names in the source, the data are taken to be {licence.data}, whose licence is "
        f"{licence.name}. If they are other data, correct it: "
        f"python prepare.py licence {out} --licence own"
    )


def licence_line(licence: Licence, out: Path) -> str:
    """What a preparation says of the licence at its end: what it demands, or that it is lacking."""
    if not licence.is_stated:
        return (
            "licence: not stated. Everything made from these data will say so. To state it: python "
            f"prepare.py licence {out} --licence nih (or kits19, kermany, own, "
            '"CC BY-NC 4.0", ...; --help names all).'
        )
    demands = ", ".join(licence.demands) or "no obligations"
    return f"licence: {licence.in_words} ({demands})."
