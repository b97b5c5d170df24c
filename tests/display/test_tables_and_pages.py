"""Tables as Markdown and HTML, pages that need no other file, numbers as a reader sees them."""

from pathlib import Path

import jinja2
import pytest

from display.numbers import bracketed, interval, number, with_interval
from display.pages import PageFigure, render_page
from display.tables import Table, TableCell, markdown, text_table

TEMPLATE = """{% extends "base.html.j2" %}
{% from "macros.html.j2" import table, figures %}
{% block title %}{{ title }}{% endblock %}
{% block main %}{{ table(rows) }}{{ figures(drawn) }}{% endblock %}"""


def test_markdown_keeps_a_cell_in_its_column() -> None:
    cell = TableCell("0.5*", ("[0.4, 0.6]", ""))
    assert markdown(Table(("name", "a|b"), ((TableCell("x\ny"), cell),), ("A note.",))) == (
        "| name | a\\|b |\n|---|---|\n| x y | 0.5\\* [0.4, 0.6] |\n\nA note.\n"
    )
    assert markdown(text_table(("", ""), [("a", "1")])) == "|  |  |\n|---|---|\n| a | 1 |\n"


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 columns \(name, score\), but a row of 1: a\."):
        text_table(("name", "score"), [("b", "1"), ("a",)])
    with pytest.raises(ValueError, match="1 columns"):
        text_table(("name",), [("a", "1")])


def test_a_page_escapes_what_it_is_given_and_says_what_it_lacks(tmp_path: Path) -> None:
    template = tmp_path / "page.html.j2"
    template.write_text(TEMPLATE)
    drawn = [PageFigure("Here", b"png", "alt"), PageFigure("Lost", None, "", "no file.")]
    rows = text_table(("model",), [("<script>",)], "note & more")
    html = render_page(template, title="a < b", rows=rows, drawn=drawn)
    assert "<title>a &lt; b</title>" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert '<p class="note">note &amp; more</p>' in html
    assert 'src="data:image/png;base64,cG5n"' in html
    assert "<b>Lost cannot be shown:</b> no file." in html
    with pytest.raises(jinja2.UndefinedError):
        render_page(template, title="without its rows")


def test_a_missing_number_or_interval_is_said() -> None:
    assert [number(0.25), number(1234.5, ".4g"), number(None)] == ["0.250", "1234", "\u2014"]
    assert interval(0.1, 0.9, ".1f", between=", ") == "0.1, 0.9"
    assert interval(None, 0.9, missing="too few") == "too few"
    found = {"value": 0.5, "low": 0.1, "high": 0.9, "num_patients": 3}
    assert bracketed(found, between=", ") == "[0.100, 0.900]"
    assert with_interval(found, percent=True) == "[10.0\u201390.0]"
    assert with_interval(found, percent=True, signed=True) == "[+10.0 to +90.0]"
    assert bracketed(found | {"low": None, "num_patients": 1}) == "[one patient: no interval]"
    assert bracketed(found | {"low": None}) == "[no interval]"
    assert bracketed(found | {"value": None}) == ""
