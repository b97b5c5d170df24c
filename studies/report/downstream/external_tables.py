"""Scores on external test sets, and who drops less there, as tables and sentences."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from display.numbers import NONE, count, difference, p_value, score
from display.tables import Table, TableCell
from studies.report.downstream.intervals import ends_shown, interval_notes
from studies.specification.specification import Specification


def external_tables(specification: Specification, content: Mapping[str, Any]) -> list[Table]:
    """For each external set its scores, model by model, and then the comparisons of drops."""
    tables = []
    for one in content["external"]:
        scores = [_scores(specification, one, model.name) for model in specification.models]
        last = scores[-1]
        noted = Table(last.columns, last.rows, tuple(_notes(specification, one)))
        tables += [*scores[:-1], noted]
        if one["comparisons"]:
            tables.append(_comparisons(specification, one))
    return tables


def external_sentences(specification: Specification, content: Mapping[str, Any]) -> list[str]:
    """What became of the baseline's score on each external set, for the head of the page."""
    metric, found = specification.metric, []
    for one in content["external"]:
        size = one["tested"][0]
        where = (
            f"Tested on {one['name']} too ({count(size['images'], 'image')} of "
            f"{count(size['patients'], 'patient')})"
        )
        told = []
        for group in one["groups"]:
            drop = group["drop"]
            if group["scenario"] != specification.baseline_scenario or drop["value"] is None:
                continue
            show = partial(score, percent=metric.percent)
            ends = interval_notes(drop, metric.percent, signed=True)[:1]
            told.append(
                f"{specification.model(group['model']).title} "
                f"{show(group['internal']['value'])} here and {show(group['external']['value'])} "
                f"there, {' '.join((difference(drop['value'], metric.percent), *ends))}"
            )
        unit = " in %" if metric.percent else ""
        baseline = f"{metric.title}{unit} of scenario {specification.baseline_scenario}"
        found.append(f"{where}: {baseline}: {'; '.join(told) or 'not known yet'}.")
    return found


def _scores(specification: Specification, one: Mapping[str, Any], model: str) -> Table:
    percent = specification.metric.percent
    rows = []
    for group in one["groups"]:
        if group["model"] != model:
            continue
        name = specification.scenario(group["scenario"]).name
        drop = group["drop"]
        seeds = ", ".join(difference(v, percent) for v in drop["seed_means"].values())
        rows.append(
            (
                TableCell(group["scenario"], (name,) if name != group["scenario"] else (), "name"),
                *(_cell(group[key], percent) for key in ("internal", "external")),
                _cell(drop, percent, signed=True),
                TableCell(seeds or NONE),
            )
        )
    title = f"{one['name']}, {specification.model(model).title}"
    unit = " in points" if percent else ""
    columns = (title, "Own test split", "External", f"Drop{unit}", "Each seed's drop")
    return Table(columns, tuple(rows))


def _cell(entry: Mapping[str, Any], percent: bool, signed: bool = False) -> TableCell:
    text = (difference if signed else score)(entry["value"], percent)
    without = ends_shown(entry) is None
    return TableCell(text, () if without else interval_notes(entry, percent, signed))


def _notes(specification: Specification, one: Mapping[str, Any]) -> list[str]:
    there, here = (
        f"{count(size['images'], 'image')} of {count(size['patients'], 'patient')}"
        for size in one["tested"]
    )
    worse = "Below" if specification.metric.higher_is_better else "Above"
    notes = [
        f"{specification.metric.title}. External: {one['name']}, {there}, whatever split they are "
        f"in; own test split: {here}. Drop: external minus own score of the same trainings, over "
        f"all images. {worse} 0 is worse elsewhere. In brackets the interval for other patients of "
        "both sets and other trainings; below it the one for other patients alone."
    ]
    if one["lacks"]:
        notes.append(
            f"{one['name']} has no image with {', '.join(one['lacks'])}: nothing is said of "
            f"{'it' if len(one['lacks']) == 1 else 'them'}, and scores over all classes are of "
            "the others."
        )
    if one["tested"][0]["patients"] == 1:
        notes.append(
            f"{one['name']} is one patient, and one patient gives no interval: what would become "
            "of another one is not known, so this is an example and no result."
        )
    reasons = [group["drop"].get("no_interval") for group in one["groups"]]
    known = list(dict.fromkeys(reason for reason in reasons if reason))
    if known:
        notes.append(f"Without an interval: {'; '.join(known)}.")
    if one["missing"]:
        notes.append(
            f"Not tested there: {', '.join(one['missing'])}. The same command of study.py run "
            "tests what is missing."
        )
    return [*notes, *one["notes"]]


def _comparisons(specification: Specification, one: Mapping[str, Any]) -> Table:
    percent = specification.metric.percent
    rows = []
    for row in one["comparisons"]:
        pair = f"{row['scenario']} against {row['against']}"
        seeds = " and ".join(map(str, row["trainings"]))
        also = ("with its other controls one claim",) if len(row["claim_against"]) > 1 else ()
        rows.append(
            (
                TableCell(f"{pair}, {specification.model(row['model']).title}", also, "name"),
                _cell(row, percent, signed=True),
                TableCell(seeds),
                TableCell(p_value(row["p"])),
                TableCell(p_value(row["p_holm"])),
                TableCell(row["verdict"]),
            )
        )
    unit = " in points" if percent else ""
    columns = (
        f"{one['name']}: who drops less",
        f"Difference of drops{unit}",
        "Seeds",
        "p",
        "p after Holm",
        "Reading",
    )
    less = "Above" if specification.metric.higher_is_better else "Below"
    family = (
        f"p after Holm is over {count(one['family_size'], 'claim')} on the sets that "
        "`external_primary` names."
        if one["declared"]
        else f"Exploratory, since `external_primary` does not name {one['name']}: p after Holm is "
        f"over {count(one['family_size'], 'claim')} on such sets, and no verdict."
    )
    notes = [
        f"Drop of the one minus drop of the other. {less} 0 the first keeps more of its score "
        f"elsewhere. {family}"
    ]
    if any(row["role"] == "placebo" for row in one["comparisons"]):
        notes.append("Placebo: the baseline trained again. Nothing made its difference.")
    return Table(columns, tuple(rows), tuple(notes))
