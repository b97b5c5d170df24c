"""The second answer of a study's report: do its synthetic sets copy training images?"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from datamodules.synthetic import SyntheticSet
from display.copies import excluded, percent
from display.numbers import count
from provenance import UserError, read_json
from studies.run.audits import AUDIT, GIVEN
from studies.run.folder import StudyFolder
from studies.specification.generator_names import is_set_of
from studies.specification.specification import Specification

ROOMS_OF_SETS = ("synthetic", "films")
FOUND, NOTHING_FOUND = "resemblance", "nothing found"
_WHEN_COPIES_WERE_FOUND = (
    "Keep the sets where the data are. Look at the pairs in audits/<set>/shows_patients/: "
    "copies lie on one another line by line.",
    "Then look for duplicates among the training images (duplicates.csv of the cache) and "
    "train on more of them, or take an earlier checkpoint: audit the sets of several, and "
    "evaluate.py gate tells the audits side by side.",
    "Or leave the suspicious images out (evaluate.py audit --drop-copies NEW_SET), and audit the "
    "new set too: copies that an audit missed are still there. docs/audit.md has an example.",
)
_NEEDED = ("verdict", "sentences", "num_synthetic", "flagged", "copies_at_most", "planted")


def read_audits(folder: StudyFolder, given: Path | None = None) -> dict[str, dict[str, Any]]:
    """The finished audits of a study's sets as they are now, by the names of the sets.

    Args:
        folder: Of the study.
        given: The set in place of a generator, if there is one.

    Raises:
        UserError: A file there is none.
    """
    audits = {}
    for path in sorted((folder.root / "audits").glob(f"*/{AUDIT}")):
        found = read_json(path)
        if not isinstance(found, dict) or not all(key in found for key in _NEEDED):
            raise UserError(f"{path}: is not what evaluate.py audit writes. Remove its folder.")
        if not _of_other_images(folder, given, path.parent.name, found):
            audits[path.parent.name] = found
    return audits


def _of_other_images(
    folder: StudyFolder, given: Path | None, name: str, found: Mapping[str, Any]
) -> bool:
    """Whether the set was made anew after its audit."""
    sets = [folder.root / room / name for room in ROOMS_OF_SETS]
    sets += [given] if given is not None and name == GIVEN else []
    there = [path for path in sets if (path / "manifest.json").is_file()]
    return any(
        SyntheticSet.open(at).content_sha256 != found.get("synthetic_sha256") for at in there
    )


def copies(
    specification: Specification, audits: Mapping[str, Mapping[str, Any]], sets: Collection[str]
) -> dict[str, Any] | None:
    """The answer, with a line for each set; of several generators with a sentence for each.

    Args:
        specification: The study.
        audits: Contents of audit.json by their sets.
        sets: Names of the finished synthetic sets.

    Returns:
        "headline", "lines" of name, verdict and sentences, and whether copies were "found"; None of
        a study without synthetic sets.
    """
    synthetic = any(specification.needs_images(one) for one in specification.scenarios)
    if not synthetic and specification.kind != "generators":
        return None
    lines = [_line(name, found) for name, found in audits.items()]
    verdicts = {found["verdict"] for found in audits.values()}
    return {
        "headline": _headlines(specification, audits, sets),
        "lines": lines,
        "found": FOUND in verdicts,
        "attacked": any(found.get("attacks_succeeded") for found in audits.values()),
        "clean": bool(audits) and verdicts == {NOTHING_FOUND} and len(audits) >= len(sets),
        "audited": len(audits),
    }


def _headlines(
    specification: Specification, audits: Mapping[str, Mapping[str, Any]], sets: Collection[str]
) -> str:
    if len(specification.plans) < 2 or not audits:
        return _headline(audits, len(sets))
    sentences = []
    for generator in specification.plans:
        own = {name: found for name, found in audits.items() if is_set_of(generator, name)}
        number = sum(is_set_of(generator, name) for name in sets)
        if own or number:
            told = _headline(own, number)
            sentences.append(f"{specification.title_of(generator)}: {told}")
    return " ".join(sentences)


def _headline(audits: Mapping[str, Mapping[str, Any]], num_sets: int) -> str:
    if not audits:
        return "Copies or not: not audited. Whether synthetic images copy training images is open."
    of = count(max(num_sets, len(audits)), "synthetic set")
    copying = [name for name, found in audits.items() if found["verdict"] == FOUND]
    unclear = [n for n, found in audits.items() if found["verdict"] not in (FOUND, NOTHING_FOUND)]
    if copying:
        flagged = {name: audits[name] for name in copying}
        worst = max(flagged.values(), key=lambda one: one["flagged"] / one["num_synthetic"])
        return (
            f"Copies: images of {len(copying)} of {of} ({', '.join(copying)}) resemble training "
            f"images more than by chance. {worst['sentences'][0]}"
        )
    attacked = [name for name, found in audits.items() if found.get("attacks_succeeded")]
    if attacked:
        return (
            f"No copies found in {of}, but the sets reveal training patients: an attack succeeded "
            f"on {', '.join(attacked)}."
        )
    bounds = [found["copies_at_most"] for found in audits.values()]
    planted = [row for found in audits.values() for row in found["planted"]]
    if unclear:
        return f"Copies or not: no answer for {len(unclear)} of {of} ({', '.join(unclear)})."
    if len(audits) < num_sets:
        return f"No copies found in {len(audits)} of {of}; the others are not audited."
    mixed = "a set are copies mixed evenly over the planted kinds"
    return f"No copies found in {of}. {excluded(max(bounds), planted, mixed)}"


def _line(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    rules = [row["sentence"] for row in found.get("require", ())]
    return {
        "set": name,
        "verdict": found["verdict"],
        "sentence": found["sentences"][0],
        "numbers": f"{found['flagged']:,} of {found['num_synthetic']:,} images above the "
        f"threshold; at most {percent(found['copies_at_most'])} are copies of all kinds mixed",
        "required": rules,
        "notes": list(found.get("notes", ())),
    }


def next_steps(answer: Mapping[str, Any], found: Mapping[str, Any] | None) -> list[str]:
    """What to do, by both answers.

    Args:
        answer: Of the study: "lines" with their verdicts, and its "recommendations" if it has any.
        found: As `copies` gives it.
    """
    verdicts = [line["verdict"] for line in answer["lines"]]
    steps = list(answer.get("recommendations", ()))
    if steps:
        pass  # they say it by method and size
    elif "helps" in verdicts:
        steps.append(
            "It helps where the first answer says so: train with it there, and confirm it on data "
            "of another site before anybody relies on it."
        )
    elif "hurts" in verdicts:
        steps.append("It hurts where the first answer says so: train without it there.")
    elif "no difference shown" in verdicts:
        steps.append(
            "No difference is shown: more seeds or more test patients may show one. What each line "
            "could have shown says how many; `study.py plan` says what they cost."
        )
    if found is None:
        return steps
    if found["found"]:
        steps += _WHEN_COPIES_WERE_FOUND
    elif not found["audited"]:
        steps.append(
            "Before a synthetic set leaves the place of its data, audit it: write `audit: true` "
            "into the study's YAML and run it again with the same --out. Nothing is trained again."
        )
    elif found["attacked"]:
        steps.append(
            "Keep the sets where the data are: somebody may learn from them who was in the "
            "training set. Train the generator on more patients or for a shorter time."
        )
    elif found["clean"]:
        steps.append(
            "That no copy was found does not decide whether a set may be handed on: look at the "
            "pairs in audits/<set>/shows_patients/, read in audits/<set>/report.html what was not "
            "looked at, and let those decide who answer for the data."
        )
    else:
        steps.append(
            "Where there is no answer, make more images or give more held-out patients, and run "
            "the study again with the same --out."
        )
    return steps
