"""The tables of a study of downstream models."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import NONE, count, difference, p_value, score, span
from display.tables import Table, TableCell
from studies.report.downstream.arms import shown_in_words
from studies.report.downstream.intervals import interval_notes
from studies.specification.specification import Specification
from studies.statistics.per_image import is_share
from studies.statistics.whole_set import is_set_metric

MARK = "*"
_USUAL_NAMES = (("Iou", "IoU"), ("Hd95", "HD95"), ("Auroc", "AUROC"), ("Ece", "ECE"))


def main_table(specification: Specification, content: Mapping[str, Any]) -> Table:
    """Scenarios as rows and models as columns: mean, interval, n, mark, and the paper's number."""
    metric = specification.metric
    significant = {
        (c["scenario"], c["model"]): c["verdict"]
        for c in content["comparisons"]
        if c["significant"]
        and (
            c["against"] == specification.baseline_of(specification.scenario(c["scenario"]))
            or specification.scenario(c["scenario"]).controls == tuple(c["claim_against"])
        )
    }
    rows = []
    for scenario in specification.scenarios:
        shown = shown_in_words(content, scenario.id)
        cells = [TableCell(f"{scenario.id}  {scenario.name}", (shown,), "name")]
        for group in _of_scenario(content["groups"], scenario.id):
            verdict = significant.get((scenario.id, group["model"]), "")
            notes = [*interval_notes(group, metric.percent)]
            if group["value"] is None:
                notes = ["no finished cell"]
            elif group["seed_spread"] is not None:
                notes.append(f"seed sd {score(group['seed_spread'], metric.percent)}")
            planned = len(specification.seeds_of(scenario))
            if group["seeds"] and len(group["seeds"]) < planned:
                notes.append(f"only {len(group['seeds'])} of {planned} seeds")
            if group["paper"] is not None:
                digits = "paper {:.2f}" if metric.percent else "paper {:g}"
                notes.append(digits.format(group["paper"]))
            text = score(group["value"], metric.percent) + (MARK if verdict else "")
            cells.append(TableCell(text, tuple(notes), verdict))
        rows.append(tuple(cells))
    trivial = content["trivial"].get(metric.name)
    if trivial is not None:
        reference = TableCell(score(trivial, metric.percent))
        name = TableCell("Reference: all background", style="name")
        rows.append((name, *(reference for _ in specification.models)))
    columns = ("Scenario", *(model.title for model in specification.models))
    return Table(columns, tuple(rows), tuple(_main_footnotes(specification, content, trivial)))


def _main_footnotes(
    specification: Specification, content: Mapping[str, Any], trivial: float | None
) -> list[str]:
    groups = [group for group in content["groups"] if group["value"] is not None]
    if not groups:
        return ["No cell is finished yet."]
    unit = " in %" if specification.metric.percent else ""
    level = f"{100 * specification.confidence:g} %"
    patients = sorted({group["num_patients"] for group in groups})
    values = sorted({group["num_values"] for group in groups})
    seeds = sorted({len(group["seeds"]) for group in groups})
    several = any(group["seed_spread"] is not None for group in groups)
    bracketed = (
        f"{level} interval for other patients and other trainings, below it the one for other "
        "patients of these trainings"
        if several
        else f"{level} interval for other patients of these trainings, since one seed says nothing "
        "of others"
    )
    notes = [
        f"{specification.metric.title}{unit}: mean over {'seeds and ' if several else ''}test "
        f"items; in brackets the {bracketed}. Patients: {span(patients)}; scored items: "
        f"{span(values)}; seeds: {span(seeds)}."
        + (" Seed sd: standard deviation of the seeds' means." if several else "")
    ]
    if len(specification.scenarios) > 1:
        notes.append(_of_marks(specification, content))
    if specification.paper:
        source = f" ({specification.paper.reference})" if specification.paper.reference else ""
        notes.append(
            f"Paper: {specification.paper.title}{source}. Its data, split and sizes differ from "
            "this run, so only the pattern can be compared, not the height."
        )
    if trivial is not None:
        notes.append("All background: the score of a model that never finds anything.")
    return notes


def _of_marks(specification: Specification, content: Mapping[str, Any]) -> str:
    """What a marked cell is, or why none is marked."""
    return (
        f"{MARK} differs from {_what_is_beaten(specification)} at "
        f"{content['tests']['level']:.2g} after Holm's correction over "
        f"{count(content['tests']['family_size'], 'test')}."
        if any(comparison["significant"] for comparison in content["comparisons"])
        else "No cell carries a mark: nothing could be tested yet."
        if not content["tests"]["family_size"]
        else "No cell carries a mark: no difference is significant after Holm's correction over "
        f"{count(content['tests']['family_size'], 'test')}."
    )


def _of_controls(comparison: Mapping[str, Any]) -> bool:
    return len(comparison["claim_against"]) > 1


def _what_is_beaten(specification: Specification) -> str:
    baseline = f"scenario {specification.baseline_scenario}"
    if any(scenario.size is not None for scenario in specification.scenarios):
        baseline = "the baseline of its size"
    if any(scenario.controls for scenario in specification.scenarios):
        return f"its controls, or from {baseline} where it has none,"
    return baseline


def comparison_table(specification: Specification, content: Mapping[str, Any]) -> Table:
    """Every tested pair: difference, interval, p values, patients, and each seed's difference."""
    if len(specification.scenarios) == 1:
        return Table(("Pair",), (), ("The study has one scenario, so nothing is compared.",))
    percent = specification.metric.percent
    rows = []
    for comparison in content["comparisons"]:
        model = specification.model(comparison["model"]).title
        pair = f"{comparison['scenario']} against {comparison['against']}, {model}"
        also = ("with its other controls one claim",) if _of_controls(comparison) else ()
        per_seed = ", ".join(
            difference(value, percent) for value in comparison["per_seed"].values()
        )
        rows.append(
            (
                TableCell(pair, also, "name"),
                TableCell(
                    difference(comparison["value"], percent),
                    interval_notes(comparison, percent, signed=True),
                    comparison["verdict"] if comparison["significant"] else "",
                ),
                TableCell(per_seed or NONE),
                TableCell(_trainings_and_patients(comparison)),
                TableCell(p_value(comparison["p"])),
                TableCell(p_value(comparison["p_holm"])),
                TableCell(_could_show(specification, comparison), _needed(comparison)),
                TableCell(comparison["verdict"]),
            )
        )
    columns = (
        "Pair",
        "Difference" + (" in points" if percent else ""),
        "Each seed",
        "Seeds; patients",
        "p",
        "p after Holm",
        "Could have shown",
        "Reading",
    )
    notes = _TEST_FOOTNOTES + _role_footnotes(content["comparisons"])
    return Table(columns, tuple(rows), notes)


def _role_footnotes(comparisons: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    notes = []
    if any(_of_controls(comparison) for comparison in comparisons):
        notes.append(
            "A scenario with controls helps where it beats each of them, and hurts where it is "
            "worse than each; its p is the largest of theirs, which needs no correction for their "
            "number (an intersection-union test)."
        )
    roles = {comparison["role"] for comparison in comparisons}
    if "exploratory" in roles:
        notes.append("Exploratory: outside the family that Holm's method corrects, and no verdict.")
    if "placebo" in roles:
        notes.append(
            "Placebo: the baseline trained again with other seeds. Nothing made its difference, so "
            "a difference of that size shows nothing."
        )
    return tuple(notes)


_TEST_FOOTNOTES = (
    "Difference of the means over seeds; where patients have scores, every patient counts once, so "
    "it may differ a little from the difference of two table entries, where every image counts "
    "once. In brackets the interval for other patients and other trainings, on which p and verdict "
    "rest; below it the one for other patients of these trainings (Student's t, which may come out "
    "a little longer where trainings vary no more than patients explain, not knowing of that). "
    "Seeds are no pairs: the tests take trainings of two scenarios for independent.",
    "Could have shown: the true difference that 4 of 5 such studies would show after Holm's "
    "correction, with trainings and patients that vary as these do; below it how many seeds of "
    "each scenario, or test patients, would show the difference that was seen.",
)


def _trainings_and_patients(comparison: Mapping[str, Any]) -> str:
    first, second = comparison["trainings"]
    seeds = f"{first}" if first == second else f"{first} + {second}"
    return f"{seeds}; {comparison['num_patients']}"


def _could_show(specification: Specification, comparison: Mapping[str, Any]) -> str:
    """The smallest difference; of a score between 0 and 1 none is larger than 1."""
    metric, value = specification.metric, comparison["could_show"]
    bounded = metric.percent or is_set_metric(metric.name) or is_share(metric.name)
    return "none" if value is not None and bounded and value >= 1 else score(value, metric.percent)


def _needed(comparison: Mapping[str, Any]) -> tuple[str, ...]:
    """More seeds or more patients that would show the difference seen; nothing where it showed."""
    if comparison["could_show"] is None or comparison["significant"]:
        return ()
    seeds, patients = comparison["trainings_needed"], comparison["patients_needed"]
    return (
        f"seen: {'more than 100 seeds' if seeds is None else count(seeds, 'seed')}",
        f"or {'no number of patients' if patients is None else count(patients, 'patient')}",
    )


def further_tables(specification: Specification, content: Mapping[str, Any]) -> list[Table]:
    """One table per model: scenarios as rows, all other scores as columns."""
    tables = []
    for model in specification.models:
        rows = []
        for scenario in specification.scenarios:
            cells = [TableCell(f"{scenario.id}  {scenario.name}", style="name")]
            for further in content["further"]:
                found = [
                    group
                    for group in further["groups"]
                    if (group["scenario"], group["model"]) == (scenario.id, model.name)
                ]
                if not found or found[0]["value"] is None:
                    cells.append(TableCell(NONE))
                    continue
                interval = interval_notes(found[0], further["percent"])[:1]
                cells.append(TableCell(score(found[0]["value"], further["percent"]), interval))
            rows.append(tuple(cells))
        trivial = [
            TableCell(score(content["trivial"].get(further["metric"]), further["percent"]))
            for further in content["further"]
        ]
        if any(cell.text != NONE for cell in trivial):
            rows.append((TableCell("Reference: all background", style="name"), *trivial))
        columns = (model.title, *(_further_title(further) for further in content["further"]))
        mixed = [further["metric"] for further in content["further"] if further["mixed_units"]]
        notes = [f"{name} came in different units and is not averaged." for name in mixed]
        tables.append(Table(columns, tuple(rows), tuple(notes)))
    return tables


def worst_table(specification: Specification, content: Mapping[str, Any]) -> Table:
    """Test items with the worst scores, per model."""
    percent = content["worst_by"]["percent"]
    rows = [
        (
            TableCell(worst["id"], (f"patient {worst['patient_id']}",), "name"),
            TableCell(specification.model(worst["model"]).title),
            TableCell(score(worst["value"], percent)),
            *(
                TableCell(score(worst["scenarios"].get(scenario.id), percent))
                for scenario in specification.scenarios
            ),
        )
        for worst in content["worst"]
    ]
    scenarios = (f"Scenario {scenario.id}" for scenario in specification.scenarios)
    return Table(("Test item", "Model", "Mean", *scenarios), tuple(rows))


def _of_scenario(groups: Sequence[Mapping[str, Any]], scenario: str) -> list[Mapping[str, Any]]:
    return [group for group in groups if group["scenario"] == scenario]


def _further_title(further: Mapping[str, Any]) -> str:
    unit = "%" if further["percent"] else further["unit"]
    name = further["metric"].replace("_", " ")
    name = name[:1].upper() + name[1:]
    for plain, usual in _USUAL_NAMES:
        name = name.replace(plain, usual)
    return f"{name}, {unit}" if unit else name
