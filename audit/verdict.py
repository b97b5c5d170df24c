"""What an audit says, in sentences."""

from collections.abc import Mapping
from typing import Any

from display.copies import excluded, of_the_worst, percent
from display.numbers import count, p_phrase
from gates import judge

_CHANCE = 0.005
"""Each of the two tests; together false in at most 1 of 100 audits of sets without a copy."""

_UNSURE = 0.05

COPIES, NOTHING_FOUND, NO_ANSWER = "resemblance", "nothing found", "no answer"

STATUS = {
    NOTHING_FOUND: judge.STATUS[judge.HOLDS],
    COPIES: judge.STATUS[judge.DOES_NOT_HOLD],
    NO_ANSWER: judge.STATUS[judge.CANNOT_BE_SAID],
}

LIMITS = (
    "It sees copies: of a whole image, or of half or a corner of one, that were moved, mirrored, "
    "inverted, blurred, or changed in grey level; of a whole image also upside down or on its "
    "side. It does not see what is smaller, such as a wire, a marker or an implant that is taken "
    "from one patient.",
    "It does not see a blend of several patients, nor an image that shows a known patient as no "
    "training image does.",
    "It compares with the training images of this cache. Of what a generator learnt elsewhere, "
    "such as pretrained weights, it sees nothing.",
    "Copies were planted by known changes of real images, rebuilt from principal components, and "
    "made by one small generator. Another generator may change them in another way; how many of "
    "such copies are found is not known.",
    "That no copy was found does not show that nothing about a person can be learnt from the "
    "images. Whether a set may be handed on is decided by those who answer for the data.",
)


def kind_of(result: Mapping[str, Any]) -> str:
    """`COPIES`, `NOTHING_FOUND` or `NO_ANSWER`."""
    p = min(result["p_flagged"], result["p_above_every_held_out"])
    if p <= _CHANCE or result["like_a_plain_copy"]:
        return COPIES
    blind = result["smallest_share_shown"] is None or result["planted_found_share"] < 0.5
    return NO_ANSWER if blind or p <= _UNSURE else NOTHING_FOUND


def exit_status(result: Mapping[str, Any]) -> int:
    """Of an audit that decides: by its rules, or by its answer where none were given."""
    if "require" in result:
        return judge.exit_status(result["require"])
    kind = kind_of(result)
    return STATUS[COPIES if kind == NOTHING_FOUND and succeeded(result) else kind]


def headline(result: Mapping[str, Any]) -> str:
    """The answer in one or two sentences."""
    found, number = result["planted_found_share"], result["num_synthetic"]
    above = result["above_every_held_out"]
    alike = (
        f"{_of(above, number)} {'resembles' if above == 1 else 'resemble'} training images more "
        f"than any of {result['num_held_out_images']:,} held-out images does"
        if above
        else f"{_of(result['flagged'], number)} resemble training images more than "
        f"{percent(1 - result['held_out_flagged_share'])} of held-out images do"
    )
    kind = kind_of(result)
    if kind == COPIES:
        return f"{alike}."
    if kind == NOTHING_FOUND:
        attacks = succeeded(result)
        but = (
            f" But the set reveals training patients in another way: {' and '.join(attacks)} "
            "did better than chance."
            if attacks
            else ""
        )
        return (
            f"These tests found no copies. {_excluded(result)} They find {percent(found)} of the "
            f"planted copies; if {percent(result['smallest_share_shown'])} of the set were copies "
            f"mixed like these, they would say so in 95 of 100 cases.{but}"
        )
    p = min(result["p_flagged"], result["p_above_every_held_out"])
    if p <= _UNSURE:
        return (
            f"{alike}. That may be chance ({p_phrase(p)}), so this is no answer: look at the "
            "pairs, and audit more images."
        )
    return (
        "These tests found no copies, but they would hardly have found any: "
        f"{percent(found)} of planted copies were found. This is no answer."
    )


def sentences(result: Mapping[str, Any]) -> list[str]:
    """The evidence for the headline."""
    told = [
        f"{_of(result['flagged'], result['num_synthetic'])} lie above the threshold "
        f"({percent(result['flagged_share'])}); of held-out images "
        f"{percent(result['held_out_flagged_share'])} do, when other patients set it "
        f"(permutation by patient, {p_phrase(result['p_flagged'])}).",
        f"{result['above_every_held_out']} lie above every held-out image "
        f"({p_phrase(result['p_above_every_held_out'])}; in a set without copies some may).",
    ]
    if result["like_a_plain_copy"] is not None:
        told.append(
            f"{result['like_a_plain_copy']} are as similar to a training image as undisguised "
            "copies are; no held-out image reaches half of that similarity."
        )
    told.append(
        f"At most {percent(result['copies_at_most'])} of the set are {_mixed(result)} (upper 95 % "
        f"bound); {of_the_worst(result['planted'])}."
    )
    if kind_of(result) == NOTHING_FOUND:
        told[-1] += (
            " That holds for this set, by the images that were in fact flagged. In general, "
            f"{percent(result['smallest_share_shown'])} of a set of this size must be copies "
            "before these tests report them; flags of fewer could be chance."
        )
    worst = min(result["planted"], key=lambda row: row["found"])
    least = (
        ""
        if worst["found"] == 1
        else f"; least of those disguised as “{worst['disguise']}”: {percent(worst['found'])}"
    )
    told.append(f"Of planted copies {percent(result['planted_found_share'])} were found{least}.")
    told += [
        f"Of {row['what']} {percent(row['found'])} lie above the threshold, and they are no "
        "copies: images may be flagged here for their blur alone."
        for row in result["no_copies"]
        if row["low"] > result["held_out_flagged_high"]
    ]
    if result["control_set"] is not None:
        told.append(
            f"Of {count(result['control_set']['num'], 'image')} of the control set, "
            f"which is known to copy, {percent(result['control_set']['found'])} lie above it."
        )
    one, other = result["embeddings_flagged"]
    told.append(
        f"The two embeddings by themselves flag {one} and {other} images, "
        f"{result['embeddings_flagged_both']} of them alike."
    )
    told.append(attacks_sentence(result))
    own = result["own_label_maps"]
    if own is not None:
        told.append(
            f"Of {count(own['num_images'], 'image')} painted on the label map of a training slice, "
            f"{percent(own['own_slice_is_nearest'])} have that very slice as the nearest, and "
            f"{percent(own['own_patient_is_nearest'])} a slice of that patient. A label map is "
            "itself a patient's: its outlines are meant to be copied."
        )
    return told


def next_steps(result: Mapping[str, Any]) -> list[str]:
    """What to do."""
    if kind_of(result) == COPIES:
        return [
            "Look at shows_patients/pairs.png: are they the same image? Chance likenesses look "
            "alike; copies lie on one another line by line.",
            "If they are: keep the set where the data are. Look for duplicates among the training "
            "images, train on more of them, or take an earlier checkpoint; then audit again.",
            "Leaving out the flagged images (--drop-copies) leaves in those that were not found: "
            "count with the table of planted copies, and audit the new set too.",
        ]
    attacked = (
        [
            "Keep the set where the data are: somebody may learn from it who was in the training "
            "set. Train on more patients or for a shorter time, and audit again."
        ]
        if succeeded(result)
        else []
    )
    return [
        *attacked,
        "Look at shows_patients/pairs.png in any case: it shows the most suspicious images.",
        "For a smaller share, audit more images; for a better threshold, more held-out patients.",
    ]


def attacks_sentence(result: Mapping[str, Any]) -> str:
    """What attacks by distances came to, in short."""
    found = succeeded(result)
    if found:
        return f"Of two attacks by distances, {' and '.join(found)} did better than chance."
    possible = any(
        "reidentified" in one["reidentification"] for one in result["by_distance"].values()
    )
    if possible:
        return "A membership attack and one at re-identification did no better than chance."
    return (
        "A membership attack did no better than chance; re-identification was not possible, since "
        "too few training patients have several images."
    )


def succeeded(result: Mapping[str, Any]) -> list[str]:
    """Which attacks by distances did better than their controls, by any extractor."""
    return [
        name
        for name, key in (
            ("a membership attack", "membership"),
            ("re-identification", "reidentification"),
        )
        if any(one[key]["succeeds"] for one in result["by_distance"].values())
    ]


def printed_lines(result: Mapping[str, Any]) -> list[str]:
    """What the command prints."""
    lines = [
        f"{count(result['num_synthetic'], 'synthetic image')}, {result['num_training']:,} training "
        f"images of {count(result['num_training_patients'], 'patient')}, "
        f"{result['num_held_out_images']:,} held-out of "
        f"{count(result['num_held_out_patients'], 'patient')}",
        f"  {headline(result)}",
        *(f"  {one}" for one in sentences(result)),
    ]
    return [*lines, *(f"  note: {note}" for note in result["notes"])]


def _excluded(result: Mapping[str, Any]) -> str:
    if result["copies_at_most"] >= 1:
        return "No share of copies can be excluded."
    return excluded(result["copies_at_most"], result["planted"], f"the set are {_mixed(result)}")


def _mixed(result: Mapping[str, Any]) -> str:
    """What the bound holds for: the share that is found is the mean over all kinds."""
    return f"copies mixed evenly over the {len(result['planted'])} planted kinds"


def _of(some: int, number: int) -> str:
    return f"{some:,} of {count(number, 'image')}"
