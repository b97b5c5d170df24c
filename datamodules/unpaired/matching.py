"""Which images of two domains are trained on and compared, so that no class is added or removed."""

import sys
from functools import cached_property
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from datamodules.unpaired.class_shares import Shares, matching_subset, matching_weights
from datamodules.unpaired.domains import Domains
from datamodules.unpaired.pairs import DOMAINS, Chosen
from provenance import UserError

_MOST_IN_VALIDATION = 256  # of a synthetic set, which has no validation split


class MatchedImages:
    """Training and validation images of both domains, with classes in equal shares.

    Args:
        domains: Source and target.
        class_shares: "matched" or "as_they_are"; see `UnpairedDataModule`.
    """

    def __init__(self, domains: Domains, class_shares: str) -> None:
        self.domains, self.class_shares = domains, class_shares

    @cached_property
    def training(self) -> dict[str, Any]:
        """Training images of each domain."""
        return {domain: self.domains[domain].training_set() for domain in DOMAINS}

    @cached_property
    def shares(self) -> Shares | None:
        """How often each class comes; None where a domain has no labels, or is a class."""
        names = self.domains.kinds(self.training)
        return None if names is None else Shares.of(*names)

    @property
    def shown_classes(self) -> list[str] | None:
        """Classes of films that matched training shows, in the target's words; None: all."""
        if not self.domains.of_films or self.class_shares == "as_they_are" or self.shares is None:
            return None
        return self.shares.in_both

    def weights(self) -> dict[str, NDArray[np.float64] | None]:
        """How often each training image of a domain is drawn; None: all equally often.

        What is done to the shares, or not, is said on stderr.

        Raises:
            UserError: Shares are to be matched, and a domain has no labels.
        """
        free: dict[str, NDArray[np.float64] | None] = {domain: None for domain in DOMAINS}
        if self.domains.change_the_class:
            return free
        if self.class_shares == "as_they_are":
            self._warn()
            return free
        kinds = self.domains.kinds(self.training)
        if kinds is None:
            raise UserError(
                "--data.class_shares matched: a domain has no labels, so that nobody can say "
                "whether disease is as frequent in the source as in the target. Where it is not, "
                "the translation adds or removes it. Give labelled data (--data.label_column), or "
                "--data.class_shares as_they_are if you know that the shares are alike."
            )
        assert self.shares is not None
        source, target = matching_weights(*kinds)
        if self.shares.differ:
            left_out = ", ".join(self.shares.only_one_has)
            _say(
                f"note: classes are drawn equally often in both domains ({self.shares.in_words})."
                + (f" Not shown, since one domain lacks them: {left_out}." if left_out else "")
            )
        return {"source": source, "target": target}

    def _warn(self) -> None:
        asked = "warning: --data.class_shares as_they_are: "
        end = (
            "a translator learns how often a class comes in the target, and adds or removes it. "
            "--model.conditioned true shows it the class; evaluate.py survival measures what is "
            "left of labels."
        )
        if self.shares is None:
            _say(
                f"{asked}a domain has no labels. If their shares differ, {end} Validation compares "
                "all images too, so best.ckpt may be the one that does so best; take last.ckpt."
            )
        elif self.shares.differ:
            _say(f"{asked}the shares differ ({self.shares.in_words}). So {end}")

    @cached_property
    def _whole_validation(self) -> dict[str, Any]:
        """All that validation could show; of a synthetic set, which is not split, some."""
        found: dict[str, Any] = {}
        for domain in DOMAINS:
            if domain == "target" or self.domains.source_set is None:
                found[domain] = self.domains[domain].evaluation_set("val")
            else:
                number = len(self.training[domain])
                shown = np.linspace(0, number - 1, min(number, _MOST_IN_VALIDATION)).round()
                found[domain] = Chosen(self.training[domain], np.unique(shown.astype(int)))
        return found

    @cached_property
    def validation(self) -> list[Any]:
        """Validation images of both domains: as many of each class that training shows in both.

        Compared as they are, the best translator would be one that adds disease, or removes it.

        Raises:
            UserError: The validation images have no such class in common.
        """
        whole = self._whole_validation
        kinds = self.domains.kinds(whole)
        if kinds is None or self.shares is None:
            return [whole[domain] for domain in DOMAINS]
        chosen = matching_subset(*kinds, self.shares.in_both)
        if len(chosen[0]):
            return [Chosen(whole[domain], own) for domain, own in zip(DOMAINS, chosen, strict=True)]
        if self.class_shares == "matched" or self.shares.in_both:
            raise UserError(
                "--data.source: the validation images of the two domains have none of the classes "
                f"in common that training shows ({', '.join(self.shares.in_both)}), so that "
                "nothing can be validated. Prepare more patients, or other --split-ratios or "
                "--split-seed."
            )
        return [whole[domain] for domain in DOMAINS]

    def note_validation(self) -> None:
        """Say on stderr how many images validation compares, where it is not all."""
        sizes = [len(self._whole_validation[domain]) for domain in DOMAINS]
        compared = [len(each) for each in self.validation]
        if compared != sizes:
            _say(
                f"note: validation compares {compared[0]} images of each domain, as many of each "
                f"class from both, of {sizes[0]} and {sizes[1]}."
            )


def _say(sentence: str) -> None:
    rank_zero_only(print)(sentence, file=sys.stderr)
