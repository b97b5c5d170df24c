"""Tables of a study of generators: Table 1's layout, and the comparison with held-out films."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import NONE, count, score, span, with_interval
from display.tables import Table, TableCell
from studies.report.generators.rows import title_of
from studies.run.generators import distances_of
from studies.specification.specification import Specification

_KERNELS = ("kernel", "kid")
_FIDELITY = ("precision", "recall", "density", "coverage")


def training_table(specification: Specification, content: Mapping[str, Any], measure: str) -> Table:
    """Methods as rows and epochs as columns, as in Ko et al. 2020: distance to training films."""
    columns = content["columns"]
    rows = []
    for row in content["training"][measure]:
        cells = [TableCell(title_of(specification, row["scenario"], row["model"]), style="name")]
        for column in columns:
            entry = row["epochs"].get(str(column["epoch"]))
            if entry is None:
                cells.append(TableCell(NONE, ("not measured",)))
                continue
            notes = []
            if entry["seed_spread"] is not None:
                notes.append(f"seed sd {score(entry['seed_spread'], False)}")
            if len(entry["seeds"]) < len(specification.seeds):
                notes.append(f"only {len(entry['seeds'])} of {len(specification.seeds)} seeds")
            cells.append(TableCell(score(entry["mean"], False), tuple(notes)))
        rows.append(tuple(cells))
    titles = [f"epoch {c['epoch']}, {_images(c['images_seen'])} images" for c in columns]
    return Table(("Generator", *titles), tuple(rows), (_training_footnote(content, measure),))


def _training_footnote(content: Mapping[str, Any], measure: str) -> str:
    facts = content["circumstances"][measure]
    if not facts["num_real"]:
        return "No cell is finished yet."
    floor = ""
    if facts["floor"]:
        floor = (
            f" Floor: halves of the real films' patients against one another, "
            f"{_span(facts['num_at_floor'])} films a side, give {_span(facts['floor'])}."
        )
    return (
        f"{name_of(measure)}, averaged generator against training films: "
        f"{_span(facts['num_real'])} real and {_span(facts['num_generated'])} generated "
        f"images.{floor}"
    )


def paper_table(specification: Specification) -> Table | None:
    """The published numbers, in their own epochs."""
    paper = specification.paper
    if paper is None:
        return None
    epochs = sorted({int(epoch) for row in paper.values.values() for epoch in row})
    rows = [
        (
            TableCell(specification.model(model).title, style="name"),
            *(TableCell(f"{row[str(e)]:g}" if str(e) in row else NONE) for e in epochs),
        )
        for model, row in paper.values.items()
    ]
    reference = f" ({paper.reference})" if paper.reference else ""
    note = f"{paper.title}{reference}. Only the order within this table can be compared with ours."
    return Table(("Paper", *(f"epoch {epoch}" for epoch in epochs)), tuple(rows), (note,))


def held_out_tables(specification: Specification, content: Mapping[str, Any]) -> list[Table]:
    """The finished generators against films of patients that they never saw.

    Distances first; then, for the first extractor and for the random VGG, what precision and its
    like say: how many generated films look real, and how much of the real variety they cover.
    """
    rows = [row for row in content["held_out"] if row["scores"]]
    if not rows:
        return [Table(("Generator",), (), ("No cell is finished yet.",))]
    keys = list(dict.fromkeys(key for row in rows for key in row["scores"]))
    distances = [key for key in content["measures"] if key in keys]
    distances += [key for key in keys if key.startswith(_KERNELS)]
    fidelity = [key for key in keys if key.startswith(_FIDELITY)]
    first, split = rows[0], distances_of(specification).split
    note = (
        f"{count(first['num_synthetic'], 'generated image')} against {first['num_real']:,} real of "
        f"{count(first['num_real_patients'], 'patient')} of the {split} split, whom "
        "no generator saw. In brackets the 95 % interval for other images and patients (half "
        "samples), with several seeds for other trainings too."
    )
    tables = [_held_out(specification, rows, distances, note + " Lower is nearer.")]
    if fidelity:
        shares = "Shares from 0 to 1 (density may exceed it), higher is better; the same images."
        tables.append(_held_out(specification, rows, fidelity, shares))
    return tables


def _held_out(
    specification: Specification,
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    footnote: str,
) -> Table:
    drawn = []
    for row in rows:
        cells = [TableCell(title_of(specification, row["scenario"], row["model"]), style="name")]
        cells += [_scored(row["scores"].get(key)) for key in keys]
        drawn.append(tuple(cells))
    return Table(("Generator", *(name_of(key) for key in keys)), tuple(drawn), (footnote,))


def _scored(entry: Mapping[str, Any] | None) -> TableCell:
    if entry is None:
        return TableCell(NONE)
    notes = []
    if entry["low"] is not None:
        notes.append(with_interval(entry, percent=False))
    if "floor" in entry:
        notes.append(
            f"{score(entry['value_at_floor_size'], False)} with "
            f"{entry['num_images_at_floor']:.0f} a side; floor {score(entry['floor'], False)}"
        )
    if entry["seed_spread"] is not None:
        notes.append(f"seed sd {score(entry['seed_spread'], False)}")
    return TableCell(score(entry["value"], False), tuple(notes))


def name_of(measure: str) -> str:
    """A measure as a reader sees it."""
    if measure in ("fid", "kid"):
        return measure.upper()
    kind, _, extractor = measure.partition("_")
    named = {"frechet": "Frechet distance", "kernel": "Kernel distance"}.get(
        kind, kind.capitalize()
    )
    return f"{named}, {extractor} features" if extractor else named


def _images(values: Sequence[int]) -> str:
    return _span(values) if values else "no"


def _span(values: Sequence[float]) -> str:
    return span(
        values, lambda v: f"{v:,.0f}" if v >= 100 or float(v).is_integer() else score(v, False)
    )
