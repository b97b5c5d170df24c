"""What is left of the scores on external test sets: the drop of every scenario, and who drops less.

The comparisons of sets that the study declares (`external_primary`) are one family of Holm's, those
of the others another, which decides nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import count
from studies.report.downstream.arms import withhold
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
