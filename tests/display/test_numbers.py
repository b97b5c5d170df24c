"""Numbers as a reader sees them."""

from display.numbers import NONE, count, probability


def test_a_probability_never_reads_as_the_end_that_it_is_not() -> None:
    shown = [probability(value) for value in (0.5, 0.12345, 3.2e-5, 1 - 4.56e-7, 0.0, 1.0, None)]
    assert shown == ["0.5000", "0.1235", "0.000032", "0.99999954", "0.0000", "1.0000", NONE]


def test_one_is_one() -> None:
    shown = [count(number, "film") for number in (0, 1, 2, 1200)]
    assert shown == ["0 films", "1 film", "2 films", "1,200 films"]
