"""The controls of a training with synthetic images: the same without them.

A training shows T images, R of them real. Where it does better than real images alone, it may be
for its length, or for what it lacks: with the steps fixed, synthetic images take the places of real
ones. So there are two controls: as many images, all real, and as many real images.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from provenance import UserError


def check_control(control: str | None, synthetic: str | None, shows_real: bool) -> None:
    """Refuse a control that has nothing to be a control of.

    Args:
        control: "steps", "real" or None.
        synthetic: Folder of the synthetic set.
        shows_real: Whether the training with synthetic images shows real ones too.

    Raises:
        UserError: Names the flag.
    """
    if control is None:
        return
    if synthetic is None:
        raise UserError(
            f"--data.control {control}: trains without the synthetic images, but as long as beside "
            "them. Name the set with --data.synthetic."
        )
    if control == "real" and not shows_real:
        raise UserError(
            "--data.control real: would show as many real images as the training with synthetic "
            "images alone, which are none. Give --data.control steps, or leave it out."
        )


def stand_ins(
    synthetic: Sequence[Hashable], real: Sequence[Hashable], seed: int
) -> NDArray[np.int64]:
    """A real image for each synthetic one, of the same kind: of its class, with the same labels.

    So classes are as frequent as beside the synthetic images. Within a kind the real images take
    turns, in an order that the seed draws: none is used twice more than another. A kind that no
    real image has takes any.

    Args:
        synthetic: (N,) kinds of the synthetic images.
        real: (M,) kinds of the real ones, M > 0.
        seed: Of the order.

    Returns:
        (N,) indices of real images.
    """
    random = np.random.default_rng([seed, len(real)])
    order = random.permutation(len(real))
    by_kind: dict[Hashable, list[int]] = {}
    for index in order.tolist():
        by_kind.setdefault(real[index], []).append(index)
    turns: dict[Hashable, int] = {}
    chosen = []
    for kind in synthetic:
        at_hand = by_kind.get(kind) or order
        turn = turns.get(kind, 0)
        turns[kind] = turn + 1
        chosen.append(int(at_hand[turn % len(at_hand)]))
    return np.array(chosen, np.int64)


def epoch_of_real_images(
    length: int, batch_size: int, num_real: int, weights: NDArray[np.float64] | None, num_items: int
) -> int:
    """Images in an epoch that shows as many real images as one with synthetic images among them.

    Args:
        length: Images in an epoch of that training, before rounding down to whole batches.
        batch_size: Images per step.
        num_real: Real images in its data set, which come first.
        weights: (num_items,) how often each is drawn; None for all alike.
        num_items: Real and synthetic images in its data set.

    Returns:
        A number of whole batches, to the nearest, at least one.
    """
    steps = max(1, length // batch_size)
    share = num_real / num_items
    if weights is not None:
        share = float(weights[:num_real].sum() / weights.sum())
    return max(1, round(steps * share)) * batch_size
