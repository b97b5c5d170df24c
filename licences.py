"""Licences of data, and what each demands of whoever hands on what was made from them.

A licence goes with the data from the cache into checkpoints and synthetic sets, as plain text, and
is shown as obligations where something is about to be released. These are the terms in short, not
legal advice. Every room may import it.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from provenance import UserError

NOT_STATED = "not stated"
NOT_ADVICE = (
    "These are the terms in short, and no legal advice. Whether images or weights that were learnt "
    "from data count as made over from them is not settled everywhere: ask before you release."
)

_LONGEST = 200
_CREATIVE_COMMONS = re.compile(r"cc-?by(?P<more>(?:-(?:nc|sa|nd))*)-?(?P<version>[1-4]\.0)")
_OWN, _NOBODY = "own data", "nobody's"


@dataclass(frozen=True)
class _Known:
    """Data that are known by a short name.

    Attributes:
        data: What they are called.
        licence: Theirs.
        cite: Whom to name.
    """

    data: str
    licence: str
    cite: str = ""


_STANFORD = "Stanford University Dataset Research Use Agreement"
_PHYSIONET = "PhysioNet Credentialed Health Data Use Agreement"
_NIH = "free use with attribution (NIH Clinical Center)"
_MEDMNIST = "Yang et al. 2023, doi:10.1038/s41597-022-01721-8, and the data that the set is of"

KNOWN_DATA = {
    "kits19": _Known("KiTS19", "CC BY-NC-SA 4.0", "Heller et al. 2019, arXiv:1904.00445"),
    "3d-ircadb": _Known("3D-IRCADb", "CC BY-NC-ND 4.0", "IRCAD, Strasbourg, France"),
    "nih": _Known(
        "NIH ChestX-ray14",
        _NIH,
        "Wang et al. 2017 (CVPR), the NIH Clinical Center and a link to its download site",
    ),
    "kermany": _Known(
        "Kermany's chest films",
        "CC BY 4.0",
        "Kermany, Zhang and Goldbaum 2018, doi:10.17632/rscbjbr9sj",
    ),
    "chexpert": _Known("CheXpert", _STANFORD, "Irvin et al. 2019, arXiv:1901.07031"),
    "mimic-cxr": _Known(
        "MIMIC-CXR", _PHYSIONET, "Johnson et al. 2019, doi:10.1038/s41597-019-0322-0"
    ),
    "medmnist": _Known("MedMNIST", "CC BY 4.0", _MEDMNIST),
    "dermamnist": _Known("DermaMNIST", "CC BY-NC 4.0", _MEDMNIST),
    "own": _Known("own data", _OWN),
}
"""By what is typed after --licence."""

_PHANTOM = _Known("phantom", _NOBODY)
_CITED = {one.data: one.cite for one in KNOWN_DATA.values()}
_AGREEMENTS = {
    _STANFORD: "the agreement is with those who signed it: no part of the data is passed on, and "
    "their use is research without commerce. Ask its other side whether what was learnt from them "
    "may be passed on.",
    _PHYSIONET: "the agreement is with those who signed it: no part of the data is passed on, and "
    "nobody tries to identify a person. What is derived from them, sets and models, is shared on "
    "PhysioNet alone, under the same agreement.",
}


@dataclass(frozen=True)
class Licence:
    """The licence of one source of data.

    Attributes:
        name: Such as "CC BY-NC-SA 4.0"; `NOT_STATED` where nobody said one.
        data: What the data are called; empty where that is not known.
    """

    name: str = NOT_STATED
    data: str = ""

    @classmethod
    def of_text(cls, text: str, flag: str = "--licence") -> "Licence":
        """What a person gave: known data, a licence, or `DATA: LICENCE` in any words.

        Raises:
            UserError: Nothing, more than a line, or nearly the name of known data.
        """
        text = text.strip()
        if not text or len(text) > _LONGEST or not text.isprintable():
            raise UserError(
                f"{flag} {text[:60]!r}: expected one line of 1 to {_LONGEST} characters: "
                f"{_choices()}."
            )
        word = re.sub(r"[\s_]+", "-", text.lower())
        if word in KNOWN_DATA:
            return cls(KNOWN_DATA[word].licence, KNOWN_DATA[word].data)
        if near := difflib.get_close_matches(word, list(KNOWN_DATA), 1, 0.75):
            raise UserError(
                f"{flag} {text}: is no data that are known here. Did you mean {near[0]}? To state "
                f'a licence in other words, name the data too: {flag} "{text}: <their licence>".'
            )
        data, colon, name = text.partition(": ")
        return cls(_spelt(name.strip()), data.strip()) if colon else cls(_spelt(text))

    @property
    def as_text(self) -> str:
        """What `of_text` reads this from."""
        return f"{self.data}: {self.name}" if self.data else self.name

    @classmethod
    def of_plain(cls, plain: Any, dataset: Any = "") -> "Licence":
        """Read `plain`, or what a file of an earlier version says, which has none.

        Args:
            plain: Whatever stands in the file under "licence"; None where nothing does.
            dataset: The command that prepared the data: phantoms are nobody's.
        """
        if plain is None and str(dataset).startswith("phantom"):
            return PHANTOM
        told = plain if isinstance(plain, Mapping) else {}
        name, data = told.get("name"), told.get("data")
        return cls(
            name[:_LONGEST] if isinstance(name, str) and name else NOT_STATED,
            data[:_LONGEST] if isinstance(data, str) else "",
        )

    def plain(self) -> dict[str, str]:
        """As plain values, for a file."""
        return asdict(self)

    @property
    def is_stated(self) -> bool:
        """Whether somebody said one."""
        return self.name != NOT_STATED

    @property
    def demands(self) -> dict[str, str]:
        """What it asks for: each demand in a word or two, with its sentence; empty for nothing."""
        if self.name in (_NOBODY, "CC0 1.0"):
            return {}
        if not self.is_stated:
            return {
                NOT_STATED: "nobody has said under which terms the data may be used. Find out "
                "before anything made from them is released."
            }
        if self.name == _OWN:
            return {
                "your institution decides": "ethics approval, the patients' consent and contracts "
                "say whether what was made from the data may leave your hands."
            }
        if self.name in _AGREEMENTS:
            return {"agreement, no passing on": _AGREEMENTS[self.name], **self._attribution()}
        if self.name == _NIH:
            return self._attribution()
        parts = _CREATIVE_COMMONS.fullmatch(_as_word(self.name))
        if parts is None:
            return {
                "read it": f"what “{self.name}” demands is not known to this software. "
                "Read it before anything made from the data is released."
            }
        found = self._attribution()
        if "nc" in parts["more"]:
            found["non-commercial"] = "no commercial use, by you or by whoever receives it."
        if "sa" in parts["more"]:
            found["share-alike"] = f"what is made over from the data is shared under {self.name}."
        if "nd" in parts["more"]:
            found["no derivatives"] = (
                "what is made over from the data may be used, and not shared. Ask their owners "
                "before anything made from them is released."
            )
        return found

    @property
    def needs_leave(self) -> bool:
        """Whether somebody is to be asked, or something read, before a release."""
        return bool({*self.demands} - {"attribution", "non-commercial", "share-alike"})

    @property
    def hugging_face(self) -> str:
        """Its identifier in the header of a card there; "other" or "unknown" where it has none."""
        if not self.is_stated:
            return "unknown"
        word = _as_word(self.name)
        if word == "cc0-1.0" or _CREATIVE_COMMONS.fullmatch(word):
            return word
        return "other"

    @property
    def in_words(self) -> str:
        """Such as "KiTS19: CC BY-NC-SA 4.0"."""
        if self.name == _NOBODY:
            return f"{self.data}: drawn, shows nobody"
        return f"{self.data}: {self.name}" if self.data not in ("", self.name) else self.name

    def _attribution(self) -> dict[str, str]:
        whom = self.data or "the data and their authors"
        cite = f" ({_CITED[self.data]})" if _CITED.get(self.data) else ""
        return {"attribution": f"name {whom}{cite}, and say what was made from them."}


PHANTOM = Licence(_PHANTOM.licence, _PHANTOM.data)
"""Of what this software drew."""


def known_data(name: str) -> Licence:
    """The licence of data by their key in `KNOWN_DATA`."""
    return Licence(KNOWN_DATA[name].licence, KNOWN_DATA[name].data)


def licences_of(plain: Any, dataset: Any = "") -> list[Licence]:
    """The licences in a checkpoint's record or a set's manifest; see `Licence.of_plain`."""
    told = plain if isinstance(plain, list | tuple) and plain else [None]
    return together(Licence.of_plain(one, dataset) for one in told)


def together(licences: Iterable[Licence]) -> list[Licence]:
    """Each once, in the order that they come in; what is nobody's only where nothing else is."""
    found = list(dict.fromkeys(licences))
    return [one for one in found if one != PHANTOM] or found


def obligations(licences: Iterable[Licence]) -> list[str]:
    """Lines to print where something made from the data is about to be released."""
    lines = []
    for one in licences:
        lines.append(f"Licence of the data behind it: {one.in_words}")
        lines += [f"  {demand}: {sentence}" for demand, sentence in one.demands.items()]
        lines += [] if one.demands else ["  no obligations for whoever hands this on."]
    return [*lines, NOT_ADVICE] if any(one.demands for one in licences) else lines


def _choices() -> str:
    """What can be typed."""
    return f'{", ".join(KNOWN_DATA)}, "CC BY-NC 4.0" and the like, or "<data>: <their licence>"'


def _spelt(text: str) -> str:
    """The usual spelling of a Creative Commons licence; other text as it is."""
    word = _as_word(text)
    if word in ("cc0", "cc0-1.0"):
        return "CC0 1.0"
    parts = _CREATIVE_COMMONS.fullmatch(word)
    return f"CC BY{parts['more'].upper()} {parts['version']}" if parts else text


def _as_word(text: str) -> str:
    return re.sub(r"[\s_]+", "-", text.lower())
