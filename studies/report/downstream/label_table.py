"""How often the baseline's models find the labels of the synthetic sets, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import count, difference, listed, score, span, with_interval
from display.tables import Table, TableCell
from provenance import UserError
from studies.run.audits import GIVEN
from studies.run.folder import StudyFolder
from studies.run.label_checks import CHECK, judges_of
from studies.run.records import read_record
from studies.specification.generator_names import is_set_of
from studies.specification.specification import Specification

_COLUMNS = ("Set", "Class", "Found in the set, %", "Found in real images, %", "Difference, points")
_NEEDED = (
    "summary", "num_images", "num_real", "num_real_patients", "split", "model", "found_at", "notes",
)  # fmt: skip


def read_label_checks(
    folder: StudyFolder, specification: Specification
) -> dict[str, dict[str, Any]]:
    """The finished checks of a study's sets, by the names of the sets.

    Raises:
        UserError: A file is none.
    """
    found: dict[str, dict[str, Any]] = {}
    judges = judges_of(specification)
    for path in sorted((folder.root / "labels").glob(f"*/{CHECK}")):
        content = read_record(path)
        if not isinstance(content, dict) or not all(key in content for key in _NEEDED):
            raise UserError(f"{path}: is not what evaluate.py labels writes. Remove its folder.")
        name = path.parent.name
        found[name] = {key: content[key] for key in _NEEDED}
        found[name]["asked"] = judges.get(name)
    return found


def label_sentence(specification: Specification, checks: Mapping[str, Mapping[str, Any]]) -> str:
    """What the report's first screen says of them: the range over the sets of each generator."""
    told = []
    for name in specification.plans or ("",):
        own = [one for key, one in checks.items() if key == GIVEN or is_set_of(name, key)]
        title = specification.title_of(name) if specification.plans else ""
        if own:
            told.append(f"{title}: {_ranges(own)}" if title else _ranges(own))
    return f"Labels that models of real images find in synthetic images: {'; '.join(told)}."


def _ranges(checks: Sequence[Mapping[str, Any]]) -> str:
    """Such as "kidney in 51 to 89 % (80 to 100 % of real ones)", for each class."""
    found: dict[str, dict[str, list[float]]] = {}
    for check in checks:
        for key, entry in check["summary"].items():
            what, _, name = key.partition(":")
            name, _, of = name.rpartition(":")
            if what == "found" and of != "difference":
                found.setdefault(name, {}).setdefault(of, []).append(100 * entry["value"])
    told = [
        f"{name} in {_range(of['synthetic'])}"
        + (f" ({_range(of['real'])} of real ones)" if "real" in of else "")
        for name, of in found.items()
        if "synthetic" in of
    ]
    return listed(told) if told else "none"


def _range(values: list[float]) -> str:
    return f"{span(sorted({round(value) for value in values}), str)} %"


def label_table(content: Mapping[str, Any]) -> Table:
    """A row for each class of each set."""
    checks: Mapping[str, Mapping[str, Any]] = content["labels_found"]
    rows = []
    for name, check in checks.items():
        summary = check["summary"]
        classes = [key.split(":")[1] for key in summary if key.endswith(":synthetic")]
        for index, one in enumerate(dict.fromkeys(classes)):
            both = [summary.get(f"found:{one}:{of}") for of in ("synthetic", "real", "difference")]
            if both[0] is None:
                continue
            cells = [TableCell(name if not index else "", style="name"), TableCell(one)]
            rows.append((*cells, *map(_cell, both[:2]), _cell(both[2], signed=True)))
    first = next(iter(checks.values()))
    how = "calls it the most probable class"
    if first["found_at"] is not None:
        how = f"marks it with a Dice of {first['found_at']:g} or more"
    notes = (
        f"Shares of the images of a class in which the model {how}, with 95 % intervals over "
        f"patients. Asked: the baseline's {first['model'].lower()} of the set's seed, of the first "
        f"model in the YAML, at its best checkpoint. Real: {count(first['num_real'], 'image')} of "
        f"{count(first['num_real_patients'], 'patient')} of the {first['split']} split. Both the "
        "generator and the model learnt from the same training patients, so they may share a "
        "mistake; and synthetic images may be easier or harder than real ones of the same class.",
        *dict.fromkeys(note for check in checks.values() for note in check["notes"]),
    )
    return Table(_COLUMNS, tuple(rows), notes)


def _cell(entry: Mapping[str, Any] | None, signed: bool = False) -> TableCell:
    if entry is None:
        return TableCell("not shown")
    shown = difference if signed else score
    return TableCell(
        shown(entry["value"], percent=True), (with_interval(entry, percent=True, signed=signed),)
    )
