"""What is left out, in few lines."""

from preparation.left_out import grouped


def test_equal_reasons_are_one_line_with_a_count() -> None:
    entries = [("a", "is torn."), ("b", "is wet."), ("c", "is torn."), ("d", "is torn.")]
    assert grouped(entries) == ["a and 2 more: is torn.", "b: is wet."]
    assert grouped([]) == []
