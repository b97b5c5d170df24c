"""Classes are drawn equally often in both domains, or it is said that they are not."""

import numpy as np
import pytest

from datamodules.unpaired.class_shares import Shares, matching_subset, matching_weights
from provenance import UserError

SOURCE = ["normal"] * 90 + ["abnormal"] * 10
TARGET = ["abnormal"] * 60 + ["normal"] * 20 + ["implant"] * 20


def drawn(names: list[str], weights: np.ndarray | None) -> dict[str, float]:
    """Share of each class among images drawn by weight."""
    each = np.ones(len(names)) if weights is None else weights
    names_of = np.array(names)
    return {name: float(each[names_of == name].sum() / each.sum()) for name in {*names}}


def test_both_domains_show_common_classes_as_often_as_the_target_has_them() -> None:
    source, target = matching_weights(SOURCE, TARGET)
    assert drawn(SOURCE, source) == pytest.approx({"normal": 0.25, "abnormal": 0.75})
    expected = {"normal": 0.25, "abnormal": 0.75, "implant": 0.0}
    assert drawn(TARGET, target) == pytest.approx(expected)
    assert target is not None
    assert len({*target[:80]}) == 1  # within the shown classes, each image as often


def test_equal_shares_need_no_weights() -> None:
    assert matching_weights(SOURCE, SOURCE * 2) == (None, None)


def test_nothing_in_common_is_refused_and_says_what_helps() -> None:
    with pytest.raises(UserError, match=r"no class in common.*--data\.source_classes"):
        matching_weights(["normal"], ["healthy"])


def test_shares_are_counted_and_compared() -> None:
    shares = Shares.of(SOURCE, TARGET)
    assert shares.differ
    assert shares.largest_difference == pytest.approx(0.7)
    assert shares.only_one_has == ["implant"]
    assert "abnormal: 10.0 % of the source, 60.0 % of the target" in shares.in_words
    assert not Shares.of(SOURCE, SOURCE[::-1]).differ


def test_a_subset_holds_as_many_of_each_class_from_both() -> None:
    source = ["ill"] * 3 + ["well"] * 6 + ["other"]
    target = ["well", "ill", "ill", "ill", "well", "ill", "odd", "ill"]
    first, second = matching_subset(source, target, ["ill", "well"])
    assert first.tolist() == [0, 1, 2, 3, 6]
    assert second.tolist() == [0, 1, 2, 4, 5]
    assert [len(part) for part in matching_subset(source, target, ["odd"])] == [0, 0]
