"""Holm's correction against values by hand."""

import pytest

from studies.statistics.significance import holm


def test_holm_against_known_values() -> None:
    # Holm 1979 by hand: sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, then made to rise.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
