"""Nearest neighbours, exactly, in blocks: of other patients too.

Of a patient with sixty slices, or with ten films, all may be among the nearest. Then the nearest
images say nothing of how like a query other patients are, so patients are counted and not images.
"""

import torch
from torch import Tensor

_BLOCK_ENTRIES = 2**24
"""Cosines held at once: 64 MiB in float32, whatever the number of images."""

_SHORTLIST = 128
"""Nearest images among which the nearest patients are sought first: one pass in place of many."""

_TAKEN = -2.0
"""In place of a cosine: below all of them."""


def nearest(
    queries: Tensor, references: Tensor, patients: Tensor, num_patients: int, num_more: int = 0
) -> Tensor:
    """For each query the nearest reference of each of the nearest patients, then further ones.

    Args:
        queries: (N, D) of length 1.
        references: (M, D) of length 1, on the same device.
        patients: (M,) long, whose each reference is.
        num_patients: How many; fewer where there are fewer.
        num_more: The nearest of all others that were not chosen yet, M in all at most.

    Returns:
        (N, num_patients + num_more) indices of the references, first those of patients, by cosine.
    """
    num_patients = min(num_patients, int(patients.unique().numel()))
    num_more = min(num_more, len(references) - num_patients)
    height = max(1, _BLOCK_ENTRIES // max(1, len(references)))
    shortest = min(len(references), max(_SHORTLIST, num_patients + num_more))
    found = [queries.new_empty((0, num_patients + num_more), dtype=torch.long)]
    for block in queries.split(height):
        cosines = block @ references.T
        values, listed = cosines.topk(shortest, dim=1)
        places, complete = _best_of_patients(values, patients[listed], num_patients)
        of_patients = listed.gather(1, places)
        if not complete.all():  # one patient's images fill the list: look at all
            rows = ~complete
            of_patients[rows] = _best_of_patients(cosines[rows], patients, num_patients)[0]
        chosen = (listed[:, :, None] == of_patients[:, None]).any(2)
        more = values.masked_fill(chosen, _TAKEN).topk(num_more, dim=1).indices
        found.append(torch.cat([of_patients, listed.gather(1, more)], 1))
    return torch.cat(found)


def _best_of_patients(cosines: Tensor, patients: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(N, count) places of the best of each of the best patients, and (N,) whether they are all.

    Args:
        cosines: (N, C).
        patients: (N, C), or (C,) for all rows.
        count: Of patients.
    """
    patients = patients.expand_as(cosines)
    left = cosines.clone()
    places = []
    complete = torch.ones_like(left[:, 0], dtype=torch.bool)
    for _ in range(count):
        best, place = left.max(1, keepdim=True)
        complete &= best[:, 0] > _TAKEN
        places.append(place)
        left.masked_fill_(patients == patients.gather(1, place), _TAKEN)
    return torch.cat(places, 1), complete


def distance_to_nearest(
    queries: Tensor,
    references: Tensor,
    left_out: Tensor | None = None,
    patients: Tensor | None = None,
) -> Tensor:
    """(N,) Euclidean distance of each query (N, D) to the nearest reference (M, D).

    Args:
        queries: On any device.
        references: On the same one.
        left_out: (N,) patient whose references do not count for a query.
        patients: (M,) whose each reference is; needed with `left_out`. Where nobody is left, the
            distance is infinite.
    """
    height = max(1, _BLOCK_ENTRIES // max(1, len(references)))
    found = []
    for start in range(0, len(queries), height):
        rows = slice(start, start + height)
        distances = torch.cdist(queries[rows], references)
        if left_out is not None and patients is not None:
            distances.masked_fill_(left_out[rows, None] == patients, torch.inf)
        found.append(distances.min(1).values)
    return torch.cat(found)
