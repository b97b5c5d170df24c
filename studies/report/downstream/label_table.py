"""How often the baseline's models find the labels of the synthetic sets, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import count, difference, listed, score, span, with_interval
from display.tables import Table, TableCell
from provenance import UserError
from studies.run.audits import GIVEN
from studies.run.folder import StudyFolder
from studies.run.label_checks import CHECK, TOLD_APART, judges_of
from studies.run.records import read_record
from studies.specification.generator_names import is_set_of
from studies.specification.specification import Specification

_COLUMNS = (
    "Set", "Class", "Found in the set, %", "Found in real images, %", "Difference, points",
    "Youden's index in real images",
)  # fmt: skip
_NEEDED = (
    "summary", "num_images", "num_real", "num_real_patients", "split", "model", "found_at", "notes",
    "checkpoint_sha256",
)  # fmt: skip
_PAINTED = (
    "the painted slices are real ones outside the lesion, and the model that is asked was trained "
    "on the same patients' slices"
)
_EARLIER = (
    "an earlier version, which did not look whether the model tells the classes apart in real "
    "images"
)


def read_label_checks(
    folder: StudyFolder, specification: Specification
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The finished checks of a study's sets by the study's own models, by the names of the sets.

    Returns:
        The checks; and sentences on files that hold another check, which is not shown.

    Raises:
        UserError: A file is none.
    """
    found: dict[str, dict[str, Any]] = {}
    others: dict[str, list[str]] = {}
    judges = judges_of(specification) if specification.label_check else {}
    for path in sorted((folder.root / "labels").glob(f"*/{CHECK}")) if judges else ():
        content = read_record(path)
        if not isinstance(content, dict) or not all(key in content for key in _NEEDED):
            raise UserError(f"{path}: is not what evaluate.py labels writes. Remove its folder.")
        name = path.parent.name
        judge = judges.get(name)
        record = None if judge is None else folder.record(judge)
        own = read_record(record)["checkpoint_sha256"] if record and record.is_file() else None
        if content["checkpoint_sha256"] != own:
            others.setdefault("another model than the study's own", []).append(name)
        elif TOLD_APART not in content:
            others.setdefault(_EARLIER, []).append(name)
        else:
            found[name] = {key: content[key] for key in (*_NEEDED, TOLD_APART)}
            found[name] |= {"asked": judge, "painted": bool(content.get("painted"))}
    return found, [
        f"Labels were asked for by {by}, so this is not shown: {listed(names)}. Give the study.py "
        "run command again: it asks the study's own model."
        for by, names in others.items()
    ]


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
    """Such as "kidney in 51 to 89 % (80 to 100 % of real ones)", for each class.

    With what a reader must know before believing it: that the slices are painted ones, and of
    which classes the checks show nothing.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for check in checks:
        for key, entry in check["summary"].items():
            what, _, name = key.partition(":")
            name, _, of = name.rpartition(":")
            if what == "found" and of != "difference":
                found.setdefault(name, {}).setdefault(of, []).append(100 * entry["value"])
    told = [
        f"{name} in {_range(of['synthetic'])}"
        + (f" ({_of_real(name, of['real'], checks)})" if "real" in of else "")
        for name, of in found.items()
        if "synthetic" in of
    ]
    painted = any(one["painted"] for one in checks)
    return (listed(told) if told else "none") + (f", but {_PAINTED}" if painted else "")


def _of_real(name: str, values: list[float], checks: Sequence[Mapping[str, Any]]) -> str:
    """The control of a class, and whether it is one."""
    text = f"{_range(values)} of real ones"
    unknown = sum(name in one[TOLD_APART] for one in checks)
    if not unknown:
        return text
    where = "" if unknown == len(checks) else f" in {unknown} of {len(checks)} sets"
    return (
        f"{text}; shows nothing{where}, since the model is not shown to recognise {name} in real "
        "images"
    )


def _range(values: list[float]) -> str:
    return f"{span(sorted({round(value) for value in values}), str)} %"


def label_table(content: Mapping[str, Any]) -> Table:
    """A row for each class of each set."""
    checks: Mapping[str, Mapping[str, Any]] = content["labels_found"]
    rows = []
    for name, check in checks.items():
        summary = check["summary"]
        classes = [
            key.removeprefix("found:").removesuffix(":synthetic")
            for key in summary
            if key.startswith("found:") and key.endswith(":synthetic")
        ]
        for index, one in enumerate(classes):
            both = [summary.get(f"found:{one}:{of}") for of in ("synthetic", "real", "difference")]
            cells = [TableCell(name if not index else "", style="name"), TableCell(one)]
            told_apart = _cell(summary.get(f"youden:{one}:real"), percent=False)
            shares = (_cell(both[0]), _cell(both[1], counted=True))
            rows.append((*cells, *shares, _cell(both[2], signed=True), told_apart))
    first = next(iter(checks.values()))
    how = "calls it the most probable class"
    if first["found_at"] is not None:
        how = f"marks it with a Dice of {first['found_at']:g} or more"
    notes = (
        f"Shares of the images of a class in which the model {how}, with 95 % intervals over "
        f"patients. Each set is asked of the {first['model'].lower()} that the baseline trained "
        "with the set's seed (of several models the first in the YAML), at its best checkpoint. "
        f"Real: those of {count(first['num_real'], 'image')} of "
        f"{count(first['num_real_patients'], 'patient')} of the {first['split']} split that are of "
        "the class. Both the generator and the model learnt from the same training patients, so "
        "they may share a mistake; and synthetic images may be easier or harder than real ones of "
        "the same class.",
        "Youden's index in real images: the share found, minus the share in which the model says "
        "the class of images of other classes, or would find the structure with another patient's "
        "label map. Where its interval does not lie above 0, the check shows nothing about the "
        "class.",
        *(
            f"{name}: {sentence}"
            for name, check in checks.items()
            for sentence in check[TOLD_APART].values()
        ),
        *dict.fromkeys(note for check in checks.values() for note in check["notes"]),
    )
    return Table(_COLUMNS, tuple(rows), notes)


def _cell(
    entry: Mapping[str, Any] | None,
    signed: bool = False,
    counted: bool = False,
    percent: bool = True,
) -> TableCell:
    """A share, a difference (`signed`), or an index (not in `percent`), with its interval."""
    if entry is None:
        return TableCell("not shown")
    shown = difference if signed else score
    notes = [with_interval(entry, percent=percent, signed=signed)]
    if counted:
        images, patients = entry["num_values"], entry["num_patients"]
        notes.append(f"{count(images, 'image')} of {count(patients, 'patient')}")
    return TableCell(shown(entry["value"], percent=percent), tuple(notes))
