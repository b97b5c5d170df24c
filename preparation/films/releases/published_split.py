"""The split that a release publishes, as it is; what it leaves open is drawn."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from preparation.split import Split
from provenance import UserError


def divided_by_the_source(
    split: Split,
    patients: Sequence[str],
    published: Sequence[str | None],
    keys: Mapping[str, Collection[str]],
    together: Sequence[Sequence[str]],
) -> tuple[dict[str, str], list[str]]:
    """The split of each patient: the release's or, of its training patients, train or val.

    Args:
        split: Its ratios of train and val, and its seed, draw what is not published.
        patients: (N,) of each film.
        published: (N,) the release's split of each film; None where it says neither.
        keys: See `Split.divide`.
        together: Groups of patients who share a film; those of them who are drawn stay together.

    Returns:
        Split by patient, and sentences for the person.

    Raises:
        UserError: It divides the films of a patient.
    """
    told: dict[str, str | None] = {}
    torn = {
        patient
        for patient, own in zip(patients, published, strict=True)
        if told.setdefault(patient, own) != own
    }
    if torn:
        raise UserError(
            f"--published-split: {len(torn):,} patients have films in several parts of the "
            "release's split, so that scores on it would be too good. Leave the flag out: patients "
            "are then divided whole."
        )
    drawn = {patient: own for patient, own in told.items() if own is not None}
    open_ones = {patient: keys[patient] for patient, own in told.items() if own is None}
    train, val, _ = split.ratios
    if open_ones and not train + val:
        raise UserError(
            "--split-ratios: give train or val a share: the release publishes no validation part, "
            "so that one is drawn of its training patients by these shares."
        )
    notes = []
    if open_ones:
        shares = (train / (train + val), val / (train + val), 0.0)
        groups = [[one for one in group if one in open_ones] for group in together]
        drawn |= replace(split, ratios=shares).divide(open_ones, [g for g in groups if g])
        notes.append(
            f"the release publishes who tests; of its {len(open_ones):,} other patients "
            f"{shares[1]:.0%} were drawn to validate (--split-ratios, --split-seed)."
        )
    missing = [name for name in ("train", "val", "test") if name not in drawn.values()]
    if missing:
        notes.append(
            f"no film of the source is in the published split's {' or '.join(missing)}: what "
            "trains or tests on it will say so. Give the whole release, or leave --published-split "
            "out."
        )
    return drawn, notes
