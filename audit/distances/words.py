"""What attacks and scores by distances say, in sentences and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.distances.fidelity import FEWEST, SCORES
from audit.distances.membership import FEWEST_FOR_RATE
from audit.distances.reidentification import FEWEST_PATIENTS
from audit.distances.spaces import OWN
from display.copies import percent
from display.numbers import bracketed, count, interval, number, p_phrase
from display.tables import Table, text_table


@dataclass(frozen=True)
class Part:
    """A part of the page: a title, sentences, and a table where there is one."""

    title: str
    sentences: Sequence[str]
    table: Table | None


_TOO_FEW = f"Too few: {FEWEST} patients of every side are needed."
_NO_PROOF = "and no proof that nothing can be learnt: another attack may do better."


def parts_by_distance(result: Mapping[str, Any]) -> list[Part]:
    """All that was measured by distances, from audit.json's content: three parts an extractor."""
    found = []
    for name, one in result["by_distance"].items():
        by = "" if name == OWN else f", by {name}"
        on_label_maps = result["own_label_maps"] is not None
        member = one["membership"]
        found += [
            Part(
                f"Can somebody tell who was in the training set{by}?",
                membership_sentences(member),
                attack_table(member),
            ),
            Part(
                f"Do synthetic images lead to other images of a patient{by}?",
                reidentification_sentences(one["reidentification"], on_label_maps),
                None,
            ),
            Part(
                f"How typical and how varied is the set{by}?",
                [_TOO_FEW] if one["fidelity"] is None else [],
                one["fidelity"] and fidelity_table(one["fidelity"]),
            ),
        ]
    return found


def membership_sentences(found: Mapping[str, Any]) -> list[str]:
    """Of one extractor's membership attack."""
    auc, tpr, control = found["membership_auc"], found["membership_tpr"], found["members_only"]
    told = [
        "Somebody who has a real image, and holds its distance to the nearest synthetic image "
        "against that to images of strangers, tells a training image from another one with an "
        f"area under the curve of {number(auc['value'])} {bracketed(auc)}; 0.5 is guessing.",
        "The same attack where there is nothing to learn: training patients against training "
        f"patients {interval(control['auc']['low'], control['auc']['high'])}, with held-out images "
        f"in the synthetic ones' place {number(found['placebo']['mean_auc'])}.",
    ]
    if tpr is None:
        told.append(
            "How many training images are told at 1 % false alarms cannot be said: of "
            f"{count(found['num_stranger_patients'], 'held-out patient')} one is more than 1 %, "
            f"and {FEWEST_FOR_RATE} are needed."
        )
    else:
        told.append(
            f"At 1 % false alarms {percent(tpr['value'])} of training images are told "
            f"{bracketed(tpr, percent)}; between training patients "
            f"{interval(control['tpr']['low'], control['tpr']['high'], percent)}. Of "
            f"{count(found['num_planted'], 'image')} of which planted copies join the "
            f"set, {percent(found['planted_tpr'])} are."
        )
    if found["succeeds"]:
        told.append(
            "So the set tells who was in the training set, more than chance and the choice of "
            "patients do."
        )
    else:
        told.append(f"That is no more than the controls give, {_NO_PROOF}")
    return told


def reidentification_sentences(found: Mapping[str, Any], on_label_maps: bool) -> list[str]:
    """Of one extractor's attempt.

    Args:
        found: What `reidentification` gave.
        on_label_maps: Whether images were painted on label maps of training patients.
    """
    if "reidentified" not in found:
        several = found["num_patients"]
        why = (
            "one image each, and no patient has another"
            if not several
            else f"{count(several, 'training patient')} alone "
            f"{'has' if several == 1 else 'have'} more than one image; {FEWEST_PATIENTS} are needed"
        )
        return [f"Not possible here: {why}."]
    ours, held_out, copies = (
        found[f"reidentified{group}"] for group in ("", "_held_out", "_copies")
    )
    told = [
        f"{count(found['num_patients'], 'training patient')} have several images. Of synthetic "
        f"images {percent(ours['value'])} {bracketed(ours, percent)} lie nearer to another image "
        "of the patient whose image is nearest than to any held-out image; of held-out images "
        f"{percent(held_out['value'])} {bracketed(held_out, percent)} do (permutation by patient, "
        f"{p_phrase(found['p'])}). Of a set of nothing but copies "
        f"{percent(copies['value'])} would.",
    ]
    if found["succeeds"]:
        told.append("So synthetic images lead to other images of a patient oftener than by chance.")
        if on_label_maps:
            told.append(
                "Images that are painted on a patient's label map have that patient's outlines, "
                "as other slices of the same scan have: that alone may be the reason."
            )
    elif (copies["low"] or 0.0) <= (held_out["high"] or 1.0):
        told.append(
            "The extractor hardly knows a patient by another image, so it would have seen nothing."
        )
    else:
        told.append(f"That is within chance, {_NO_PROOF}")
    return told


def attack_table(found: Mapping[str, Any]) -> Table:
    """The membership attack and its controls."""
    auc, alone = found["membership_auc"], found["uncalibrated_auc"]
    control, placebo = found["members_only"], found["placebo"]

    def told(entry: Mapping[str, Any] | None) -> str:
        return (
            "too few" if entry is None else f"{percent(entry['value'])} {bracketed(entry, percent)}"
        )

    first, second = control["num_patients"]
    rows = [
        (
            "nearest synthetic image, against strangers",
            f"{number(auc['value'])} {bracketed(auc)}",
            told(found["membership_tpr"]),
        ),
        (
            "nearest synthetic image alone",
            f"{number(alone['value'])} {bracketed(alone)}",
            told(found["uncalibrated_tpr"]),
        ),
        (
            f"control: {first:,} training patients against {second:,} others of them",
            interval(control["auc"]["low"], control["auc"]["high"]),
            "too few"
            if control["tpr"] is None
            else interval(control["tpr"]["low"], control["tpr"]["high"], percent),
        ),
        (
            "control: held-out images in the synthetic ones' place",
            f"{number(placebo['mean_auc'])}, {interval(placebo['least_auc'], placebo['most_auc'])}",
            "",
        ),
    ]
    return text_table(
        ("Attack", "Area under the curve", "Training images told at 1 % false alarms"),
        rows,
        f"{found['num_members']:,} training images of {found['num_member_patients']:,} patients "
        f"against {found['num_strangers']:,} held-out ones of "
        f"{found['num_stranger_patients']:,}. In brackets 95 % intervals, a bootstrap over "
        f"patients. First control: what 95 of 100 of {control['num_splits']} splits give, by the "
        f"first attack. Second: mean and range over {placebo['num_halves']} halves of the held-out "
        "patients; an area off 0.5 here comes from the embedding, which knows training images.",
    )


def fidelity_table(found: Mapping[str, Any]) -> Table:
    """Scores of the set beside those of held-out images."""
    rows = [
        (
            name.replace("_", "-"),
            *(
                f"{number(found[side][name]['value'])} {bracketed(found[side][name])}"
                for side in ("synthetic", "held_out")
            ),
        )
        for name in SCORES
    ]
    return text_table(
        ("Score", "Synthetic", "Held-out"),
        rows,
        f"{found['num_images']:,} images of each against {found['num_training']:,} training images;"
        " authenticity of all. In brackets 95 % intervals over patients. The held-out column is "
        "what other real images of that number reach: below it in precision, density and "
        "alpha-precision the set is less like real images, below it in recall, coverage and "
        "beta-recall less varied. Authenticity: the share of images that are farther from their "
        "nearest training image than another training image is; below the held-out column "
        "training images were come nearer to than other patients come.",
    )
