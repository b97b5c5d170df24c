"""Files that say that they are synthetic: left out of real data, unless somebody takes them in."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SyntheticFiles:
    """What is done about files that say that they are synthetic.

    Attributes:
        allow_synthetic: Accept files that are marked as synthetic (by SyntheticData in DICOM, XMP
            or text in pictures, the header of NIfTI or the JSON beside it, the manifest of a set)
            as if they were real. Default: they are left out. The cache, and every result from it,
            states how many there are.
    """

    allow_synthetic: bool = False

    def settings(self) -> dict[str, bool]:
        """As a cache keeps it; nothing where it is not given, since earlier caches lack it."""
        return {"allow_synthetic": True} if self.allow_synthetic else {}


def synthetic_sentence(mark: str) -> str:
    """Why a file is left out.

    Args:
        mark: What says it, see `synthetic_marks`.
    """
    return (
        f"is synthetic: {mark}. Left out, since it is no image of a patient; prepare.py synthetic "
        "makes a synthetic set of such files, and --allow-synthetic, into another --out, takes "
        "them as if they were real, which all results then say."
    )


def num_synthetic(count: int) -> dict[str, int]:
    """The entry of a manifest that says how many synthetic images it holds, where it holds any."""
    return {"num_synthetic": count} if count else {}
