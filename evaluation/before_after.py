"""Scores of images before and after something was done to them, and their change, over patients."""

from collections.abc import Sequence

from metrics.intervals import Interval, patient_interval


def before_after(
    after: Sequence[float | None],
    before: Sequence[float | None],
    patient_ids: Sequence[str],
    share: bool,
) -> tuple[Interval, Interval, Interval]:
    """Means with their intervals for other patients: after, before, and of the change.

    Args:
        after: (N,) of the images as they are now; None does not count.
        before: (N,) of the same images as they were.
        patient_ids: (N,) whose each image is.
        share: Values lie between 0 and 1; their change does not.
    """
    change = [
        None if now is None or then is None else now - then
        for now, then in zip(after, before, strict=True)
    ]
    return (
        patient_interval(after, patient_ids, share=share),
        patient_interval(before, patient_ids, share=share),
        patient_interval(change, patient_ids),
    )
