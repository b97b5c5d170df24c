"""Which label a folder of masks has by its name: `Kidney_L`, `left kidney`, `kidney_tumour01`."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from preparation.volumes.pixel_checks import listed
from preparation.volumes.volume import KIDNEY_AND_TUMOUR
from provenance import UserError

_SIDE = "(l|r|lt|rt|left|right|both|bilateral)?"
_TUMOUR = "(tumou?r|cancer|carcinoma)s?"
_FILLER = {"a", "in", "label", "mask", "masks", "of", "roi", "seg", "segmentation", "the"}
_KIDNEY_NAME = re.compile(f"{_SIDE}kidneys?{_SIDE}")
_KIDNEY_TUMOUR_NAME = re.compile(
    f"{_SIDE}(kidneys?|renal(cell)?){_SIDE}{_TUMOUR}{_SIDE}|{_SIDE}{_TUMOUR}{_SIDE}kidneys?{_SIDE}"
)
_TUMOUR_NAME = re.compile(f"{_SIDE}{_TUMOUR}{_SIDE}")


def label_of(structure: str, labels: Mapping[str, int]) -> int:
    """Return the label of kidney or of tumour of the kidney; 0 for a structure that is not used.

    Explicit labels win. A tumour of another organ (3D-IRCADb has `livertumor01`) is none of ours,
    and one that is not said to be the kidney's may be anybody's: `tumor` alone is not used.
    """
    if structure in labels:
        return labels[structure]
    plain = _plain(structure)
    if _KIDNEY_TUMOUR_NAME.fullmatch(plain):
        return KIDNEY_AND_TUMOUR.index("tumour")
    return KIDNEY_AND_TUMOUR.index("kidney") if _KIDNEY_NAME.fullmatch(plain) else 0


def check_given(labels: Mapping[str, int], flag: str) -> None:
    """Refuse labels that do not exist, and kidneys that would become tumours.

    Args:
        labels: The label of each folder.
        flag: Where they were given.

    Raises:
        UserError: Names the pair.
    """
    for name, label in labels.items():
        if label not in range(len(KIDNEY_AND_TUMOUR)):
            raise UserError(f"{flag} {name}={label}: expected {listed(KIDNEY_AND_TUMOUR, 'or')}.")
        if KIDNEY_AND_TUMOUR[label] == "tumour" and _KIDNEY_NAME.fullmatch(_plain(name)):
            raise UserError(
                f"{flag} {name}={label}: {label} is tumour, and {name} is a kidney by its "
                f"name. Both kidneys are 1; rename the folder if it does hold a tumour."
            )


def account(used: Sequence[Mapping[str, int]], labels: Mapping[str, int], flag: str) -> list[str]:
    """Sentences: which folder became which label, and whose name was not understood.

    Args:
        used: The label of each folder, by patient.
        labels: The explicit ones.
        flag: Where they were given.

    Raises:
        UserError: An explicit label is of a folder that no patient has.
    """
    folders = Counter((label, name) for patient in used for name, label in patient.items())
    lost = sorted(labels.keys() - {name for _, name in folders})
    if lost:
        raise UserError(
            f"{flag} {lost[0]}={labels[lost[0]]}: no patient has a folder of that name. "
            f"There are {', '.join(sorted({name for _, name in folders})) or 'none'}."
        )

    def those(wanted: int) -> str:
        counts = {name: n for (label, name), n in sorted(folders.items()) if label == wanted}
        several = len(used) > 1
        return ", ".join(f"{k} ({n})" if several else k for k, n in counts.items()) or "none"

    classes = (f"{name} ({n}): {those(n)}" for n, name in enumerate(KIDNEY_AND_TUMOUR) if n)
    sentences = [
        f"labels by the names of the mask folders: {'; '.join(classes)}; not used: {those(0)} "
        "(--mask-labels folder=label says otherwise)."
    ]
    return sentences + [
        f"{name}: its name does not say whose tumour it is, so it is not used. If it is of the "
        f"kidney, pass --mask-labels {name}=2; if it is not, {name}=0."
        for name in sorted({name for _, name in folders if is_unclear(name, labels)})
    ]


def is_unclear(structure: str, labels: Mapping[str, int]) -> bool:
    """Whether a folder is a tumour's that neither its name nor a label says to be the kidney's."""
    return structure not in labels and bool(_TUMOUR_NAME.fullmatch(_plain(structure)))


def _plain(structure: str) -> str:
    """A name in lower case, its letters alone, without words that say nothing."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", structure)
    return "".join(word for word in re.findall("[a-z]+", apart.lower()) if word not in _FILLER)
