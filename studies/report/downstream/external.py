"""What is left of the scores on external test sets: the drop of every scenario, and who drops less.

The comparisons of sets that the study declares (`external_primary`) are one family of Holm's, those
of the others another, which decides nothing.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from display.numbers import NONE, count, difference, p_value, score
from display.tables import Table, TableCell
from studies.report.downstream.arms import withhold
from studies.report.downstream.intervals import ends_shown, interval_notes
from studies.run.external import external_record
from studies.run.folder import StudyFolder
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.comparisons import correct, results_of_claims, rows_of_claims
from studies.statistics.external import drop_pairs_of, drops_of
from studies.statistics.results import GroupResult, groups_of

_WORDS = ("drops less", "drops more")
_EXPLORATORY = "exploratory"


def read_external(
    folder: StudyFolder, study: Mapping[str, Any], records: Sequence[Record]
) -> dict[str, list[Record]]:
    """The cells of a study with their evaluations on each external set in place of their own.

    Args:
        folder: The study's.
        study: Its study.json.
        records: Its finished cells.
    """
    found: dict[str, list[Record]] = {}
    for name, one in (study.get("external") or {}).items():
        of_cells = [(r, external_record(folder, name, r, one["data"])) for r in records]
        found[name] = [{**r, "evaluation": e["evaluation"]} for r, e in of_cells if e is not None]
    return found


def external_sets(
    specification: Specification,
    study: Mapping[str, Any],
    records: Sequence[Record],
    external: Mapping[str, Sequence[Record]],
    shown: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Scores here and there, drops, and comparisons of drops, of every external set.

    Args:
        specification: The study.
        study: Its study.json.
        records: Its finished cells.
        external: See `read_external`.
        shown: Images that trainings showed, by which fair controls are known.
    """
    sets = [_one_set(specification, study, records, name, of) for name, of in external.items()]
    for declared in (True, False):
        those = [one for one in sets if one["declared"] == declared]
        claimed = [rows for one in those for rows in one.pop("claimed")]
        tested = correct(specification, claimed, _WORDS)
        for one in those:
            one["family_size"] = tested
            if declared:
                withhold(specification, {"shown": shown, "comparisons": one["comparisons"]})
            for row in one["comparisons"]:
                if row.get("lacking") and row["significant"]:
                    row["verdict"] += ", without control"
                if not declared and row["role"] == "primary":
                    row |= {"verdict": _EXPLORATORY, "significant": False}
    return sets


def _one_set(
    specification: Specification,
    study: Mapping[str, Any],
    records: Sequence[Record],
    name: str,
    external: Sequence[Record],
) -> dict[str, Any]:
    tested = {record["name"] for record in external}
    here = [record for record in records if record["name"] in tested]
    results = results_of_claims(
        specification,
        lambda pairs, model: drop_pairs_of(specification, here, external, pairs, model),
    )
    claimed = rows_of_claims(specification, results)
    return {
        "name": name,
        "declared": name in specification.external_primary,
        "images": study["external"][name]["images"],
        "patients": study["external"][name]["patients"],
        "tested": [_size(external), _size(here)],
        "missing": sorted({record["name"] for record in records} - tested),
        "groups": [
            _group(specification, here, external, scenario.id, model.name, drops)
            for model in specification.models
            for drops in [drops_of(specification, here, external, model.name)]
            for scenario in specification.scenarios
        ],
        "claimed": claimed,
        "comparisons": [row for rows in claimed for row in rows],
        "lacks": _lacking(external, study["external"][name]["lacks"]),
        "notes": [*_of_evaluations(external, name), *_shared_patients(here, external)],
    }


def _group(
    specification: Specification,
    here: Sequence[Record],
    external: Sequence[Record],
    scenario: str,
    model: str,
    drops: Mapping[str, GroupResult],
) -> dict[str, Any]:
    metric = specification.metric.name
    return {
        "scenario": scenario,
        "model": model,
        "internal": _plain(groups_of(specification, here, model, metric)[scenario]),
        "external": _plain(groups_of(specification, external, model, metric)[scenario]),
        "drop": _plain(drops[scenario]),
    }


def _plain(result: GroupResult) -> dict[str, Any]:
    return {
        **result.interval.as_dict(),
        "low_patients": result.patients_only[0],
        "high_patients": result.patients_only[1],
        "seed_means": {str(seed): value for seed, value in result.seed_means.items()},
        "seed_spread": result.seed_spread,
    }


def _size(records: Sequence[Record]) -> dict[str, int]:
    """Of the test set that most of these cells share."""
    rows = [record["evaluation"].get("images") or [] for record in records]
    return {
        "images": max(map(len, rows), default=0),
        "patients": max((len({row["patient_id"] for row in one}) for one in rows), default=0),
    }


def _lacking(external: Sequence[Record], known: list[str]) -> list[str]:
    """Classes, or findings, of which the external images have none; of slices they are known."""
    for record in external:
        evaluation = record["evaluation"]
        names, images = evaluation.get("class_names") or [], evaluation.get("images") or []
        if evaluation.get("task") == "findings":
            return [n for k, n in enumerate(names) if not any(r["findings"][k] for r in images)]
        if evaluation.get("task") == "classification":
            there = {row["label"] for row in images}
            return [name for label, name in enumerate(names) if label not in there]
    return known


def _of_evaluations(external: Sequence[Record], name: str) -> list[str]:
    """What the evaluations say of their images: left out, other settings, not compared."""
    evaluations = [record["evaluation"] for record in external]
    said = [note for e in evaluations for note in e.get("notes") or []]
    # As `preparation_notes` of evaluation/ says it, in this version and in earlier ones.
    notes = list(dict.fromkeys(note for note in said if "than the training images:" in note))
    left_out = [e["left_out"]["images"] for e in evaluations if e.get("left_out")]
    if left_out:
        notes.append(
            f"{count(len(left_out), 'cell')} left out up to {count(max(left_out), 'image')} that "
            "training or validation knew."
        )
    unknown = sum(bool(e.get("not_compared")) for e in evaluations)
    if unknown:
        notes.append(
            f"In {count(unknown, 'cell')} not all that the model was trained on could be compared "
            f"with these images, so it may know some; `not_compared` in external/{name}/ says what."
        )
    return notes


def _shared_patients(here: Sequence[Record], external: Sequence[Record]) -> list[str]:
    ours, theirs = (
        {row["patient_id"] for r in records for row in r["evaluation"].get("images") or []}
        for records in (here, external)
    )
    both = len(ours & theirs)
    if not both:
        return []
    return [
        f"{count(both, 'patient name')} of the own test split {'is' if both == 1 else 'are'} among "
        "the external ones too. The intervals take them for other people."
    ]


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
