"""Several findings of a film: which of a cache's label columns they are, and what is known of each.

A finding is a label column of two classes. Of a film it is there (1), is not (0), or nobody knows
(NaN): not mentioned in the report, uncertain, or of a part of the release that was not labelled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.film_cache import UNLABELLED, FilmCache
from provenance import UserError

ALL = "all"


@dataclass(frozen=True)
class Findings:
    """The findings that a run tells of each film.

    Attributes:
        columns: (K,) label columns of the cache.
        names: (K,) what they are called: the column, with its positive class where that is not 1,
            such as `sex=M`.
        values: (N, K) float32 of every film of the cache: 1, 0, or NaN for unknown.
        left_out: Columns that `all` leaves out, since the films do not differ in them.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    left_out: tuple[str, ...] = ()

    def notes(self, root: str) -> list[str]:
        """Sentences for the person: what is left out of the cache, and why."""
        told = []
        if self.left_out:
            told.append(
                f"{root}: its films do not differ in {', '.join(self.left_out)}, which are left "
                "out of the findings."
            )
        missing = int((~self.some_known).sum())
        if missing:
            told.append(
                f"{root}: of {missing} of {len(self.values)} films no finding is known; they are "
                "left out."
            )
        return told

    @property
    def some_known(self) -> NDArray[np.bool_]:
        """(N,) whether anything is known of a film."""
        return np.asarray((~np.isnan(self.values)).any(axis=1))


def finding_values(cache: FilmCache, column: str) -> NDArray[np.float32]:
    """(N,) of every film 1, 0, or NaN for unknown; class 1 of the column is 1.

    A column of 0 and 1 has 0s and 1s by name, though only one of the two is there.

    Args:
        cache: Has the column.
        column: Of two classes at most.
    """
    classes, labels = cache.class_names(column), cache.labels(column)
    number = [int(name) if {*classes} <= {"0", "1"} else k for k, name in enumerate(classes)]
    table = np.array([*number, np.nan], np.float32)  # UNLABELLED is -1, the last
    assert UNLABELLED == -1
    return table[labels]


def chosen_findings(cache: FilmCache, asked: Sequence[str] | str, flag: str) -> Findings:
    """The findings that a run asks for.

    Args:
        cache: Prepared films.
        asked: Label columns, or "all" for those of 0 and 1.
        flag: What was given, for sentences.

    Raises:
        UserError: There is no such column, or one of other classes than 0 and 1 has not two.
    """
    everything = asked == ALL
    if isinstance(asked, str) and not everything:
        asked = [asked]
    columns = cache.findings if everything else list(dict.fromkeys(asked))
    names, values, left_out, kept = [], [], [], []
    for column in columns:
        classes = cache.class_names(column)
        plain = {*classes} <= {"0", "1"}
        if len(classes) != 2 and everything:
            left_out.append(column)
            continue
        if len(classes) != 2 and not plain:
            raise UserError(
                f"{flag}: {column} of {cache.root} has the classes {', '.join(classes)}, and a "
                "finding is there or not: two classes. Leave it out, or give it as "
                f"--data.label_column {column}, which tells apart as many."
            )
        kept.append(column)
        names.append(column if plain else f"{column}={classes[1]}")
        values.append(finding_values(cache, column))
    if not kept:
        raise UserError(
            f"{flag}: {cache.root} has no findings, label columns of 0 and 1 (its label columns: "
            f"{', '.join(cache.label_columns) or 'none'}). Prepare it with --layout, or with "
            "--labels TABLE --label-columns and a column for each finding."
        )
    return Findings(tuple(kept), tuple(names), np.stack(values, axis=1), tuple(left_out))


def refuse_beside_findings(**flags: object) -> None:
    """Refuse flags that need one class of each film.

    Args:
        **flags: Of the datamodule, None where not given.

    Raises:
        UserError: One was given.
    """
    reasons = {
        "label_column": "that is one column, and these are several. Give one of the two",
        "synthetic": "a synthetic film has the one class of its generator, and nothing is known "
        "of its other findings. Train on one finding with --data.label_column",
        "only_label": "a film with several findings is of no one class. A generator of films with "
        "one finding is trained with --data.label_column FINDING --data.only_label 1",
        "imbalance": "a film with several findings is of no one class, so none can be made rare "
        "alone. Train on one finding with --data.label_column",
        "balance": "a film with several findings is of no one class that could be drawn more "
        "often. --model.class_weights balanced weighs each finding by itself",
    }
    for name, value in flags.items():
        if value is not None:
            raise UserError(f"--data.{name} {value}: beside --data.findings, {reasons[name]}.")
