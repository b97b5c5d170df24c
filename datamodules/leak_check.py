"""The check that a synthetic set may join a training split."""

import sys

from lightning.pytorch.utilities import rank_zero_only

from datamodules.prepared_cache import PreparedCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError


def check_no_leak(synthetic: SyntheticSet, cache: PreparedCache) -> None:
    """Refuse a set that carries knowledge of a validation or test patient into training.

    Two ways in: the generator was trained on such a patient, or the label map was drawn on one.
    Where the cache is split by slice or by image, these are compared and not the patients. A set
    whose generator knew nobody of the cache may come from elsewhere, or from the same people under
    other names, which no comparison of names shows: that is said on stderr.

    Raises:
        UserError: Names the patients, or says that the set's origin is unknown.
    """
    by = cache.split_by
    unit = by if by in ("patient", "slice") else "image"
    by_patient = unit == "patient"
    origin = synthetic.manifest.get("generator", {})
    trained_on = origin.get("training_patients" if by_patient else "training_items")
    if trained_on is None:
        raise UserError(
            f"{synthetic.root}: does not say what its generator was trained on"
            + ("" if by_patient else f" by {unit}, while this cache is split by {unit}")
            + ". It cannot be shown to be free of test data, so it does not join the training."
        )
    named = cache.patients if by_patient else cache.item_ids
    held_out = {*named("val"), *named("test")}
    labels = {
        item.label_patient_id if by_patient else item.label_item_id for item in synthetic.items
    }
    for leaked, how in (
        (held_out & set(trained_on), f"its generator was trained on this {unit}"),
        (held_out & labels, f"its label maps were drawn on this {unit}"),
    ):
        if leaked:
            some = ", ".join(sorted(leaked)[:5]) + (", ..." if len(leaked) > 5 else "")
            raise UserError(
                f"{synthetic.root}: leaks {len(leaked)} {unit}(s) of the validation or test split "
                f"of {cache.root} ({how}: {some}). The run stops, because its test result would "
                "be worthless. Train the generator on this cache's training split, and generate "
                "from label maps of other patients."
            )
    if not {*named("train"), *held_out} & {*trained_on}:
        rank_zero_only(print)(
            f"{synthetic.root}: its generator knew none of the {unit}s of {cache.root}. Fine if it "
            "was trained on other data. If it was trained on the same people, they have other "
            "names there (another --patient-salt, another way to name patients), and a leak "
            "cannot be seen: then train it on this cache.",
            file=sys.stderr,
        )
