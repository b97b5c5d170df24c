"""The report says what the numbers say, shows every part or says that it is lacking."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_verbs
import pytest

from display import figures, numbers
from provenance import UserError
from studies.report import downstream
from studies.report.downstream import analyse, plots
from studies.report.downstream.tables import comparison_table
from studies.report.write import build_report
from studies.run.runner import run_study
from studies.specification.read import parse_specification


def run(plan: dict, home: Path, gains: dict[str, float] | None = None) -> Path:
    fake_verbs.order("gains", json.dumps(gains or {}))
    run_study(
        parse_specification(plan, "plan"),
        home / "data",
        home / "out",
        fake_verbs.load_verbs,
        workers=0,
        say=lambda line: None,
    )
    return home / "out"


def records(out: Path) -> list[dict]:
    return [
        json.loads(path.read_text()) for path in sorted((out / "cells").glob("*seed*[0-9].json"))
    ]


def analysed(plan: dict, home: Path, gains: dict[str, float]) -> dict:
    out = run(plan, home, gains)
    return analyse(parse_specification(plan, "plan"), records(out), [])


class Page(HTMLParser):
    """Collects the pictures, links, texts and unclosed tags of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.images: list[dict] = []
        self.addresses: list[str] = []
        self.text = ""
        self._skip = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        found = dict(attributes)
        self._skip = tag == "style"
        if tag == "img":
            self.images.append(found)
        self.addresses += [found[key] for key in ("src", "href") if key in found]

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.text += data


def test_the_page_is_whole_and_needs_nothing_else(plan: dict, home: Path) -> None:
    plan["seeds"] = [0, 1]
    plan["paper"] = {"title": "Paper <000>", "values": {1: {"unet_light": 58.51}}}
    fake_verbs.order("3__unet_light__seed1", "fail")
    out = run(plan, home)
    path = build_report(out)
    html = path.read_text()
    page = Page(html)
    kinds = ("data:image/png;base64,", "data:image/webp;base64,", "#")
    assert all(address.startswith(kinds) for address in page.addresses)
    # In the base64 of a picture any four letters come by chance, once in seventeen million places.
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    assert all(image["alt"] for image in page.images)
    # bars, differences, curves, generator's curves, sheet, and predictions of one model twice
    assert len(page.images) == 7
    for text in ("58.51", "Paper <000>", "all background", "41.0", "HD95 tumour, mm", "seed sd"):
        assert text in page.text, text
    assert "diamonds: the paper" in page.text
    assert "Seed sd: standard deviation" in page.text
    assert "no predictions.png for: 1 fpn; 3 fpn" in page.text
    assert "3__unet_light__seed1: ValueError: the loss is not finite" in page.text
    assert "7 of 8 cells" in page.text
    assert "python study.py run" in page.text
    assert "python train.py fit --config configs/fpn.yaml" in page.text
    markdown = (out / "report.md").read_text()
    assert "58.51" in markdown
    assert "the loss is not finite" in markdown
    content = json.loads((out / "report.json").read_text())
    assert content["cells_missing"] == ["3__unet_light__seed1"]
    assert content["groups"][0]["num_patients"] == fake_verbs.PATIENTS


@pytest.mark.usefixtures("unrendered")
def test_captions_name_nothing_that_is_not_there(plan: dict, home: Path) -> None:
    text = Page(build_report(run(plan, home)).read_text()).text
    for absent in ("diamonds: the paper", "Seed sd", "other trainings, below it"):
        assert absent not in text, absent
    assert "one seed says nothing of others" in text


@pytest.mark.usefixtures("unrendered")
def test_what_was_left_out_or_not_compared_is_said(plan: dict, home: Path) -> None:
    out = run(plan, home)
    assert "could be compared with the test images" not in build_report(out).read_text()
    for number, path in enumerate(sorted((out / "cells").glob("3__*.json"))):
        cell = json.loads(path.read_text())
        cell["evaluation"]["not_compared"] = "Names cannot be compared."
        cell["evaluation"]["left_out"] = {"images": 2 + number, "of_images": 32}
        path.write_text(json.dumps(cell))
    text = Page(build_report(out).read_text()).text
    assert "2 cells left out up to 3 test images that the model has seen" in text
    assert "In 2 cells not all that the model was trained on could be compared" in text


@pytest.mark.usefixtures("unrendered")
def test_one_scenario_is_compared_with_nothing(plan: dict, home: Path) -> None:
    plan["scenarios"] = plan["scenarios"][:1]
    text = Page(build_report(run(plan, home)).read_text()).text
    assert "One scenario: nothing is compared." in text
    assert "The study has one scenario, so nothing is compared." in text
    for absent in ("No cell carries a mark", "p after Holm", "Could have shown"):
        assert absent not in text, absent


def test_an_empty_study_says_what_is_lacking(plan: dict, home: Path) -> None:
    for name in ("seed_0", "1__unet_light__seed0", "1__fpn__seed0"):
        fake_verbs.order(name, "fail")
    page = Page(build_report(run(plan, home)).read_text())
    assert "No answer yet" in page.text
    assert "no cell is finished" in page.text
    assert "no generator is finished" in page.text
    assert page.images == []


@pytest.mark.usefixtures("unrendered")
def test_a_page_that_cannot_be_rendered_leaves_the_last_report_whole(
    plan: dict, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run(plan, home)
    build_report(out)
    files = {path: path.read_bytes() for path in out.glob("report.*")}
    assert len(files) == 3
    (out / "cells/1__fpn__seed0.json").unlink()

    def broken(*_: object, **__: object) -> str:
        raise ValueError("no such filter")

    monkeypatch.setattr("studies.report.write.render_page", broken)
    with pytest.raises(ValueError, match="no such filter"):
        build_report(out)
    assert {path: path.read_bytes() for path in out.glob("report.*")} == files


@pytest.mark.usefixtures("unrendered")
def test_a_table_and_a_figure_that_the_template_does_not_name_are_drawn(
    plan: dict, home: Path, added_is_shown: Callable[[ModuleType, Path], None]
) -> None:
    added_is_shown(downstream, run(plan, home))


def test_a_folder_without_a_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no study\.json"):
        build_report(tmp_path)


@pytest.mark.parametrize(
    ("gains", "verdict", "headline"),
    [
        (
            {"3": 0.1},
            "better, without control",
            r"Whether .* lacking: scores are better for U-Net light .* and FPN \(3 against 1\)\.",
        ),
        (
            {"3": -0.1},
            "worse, without control",
            r"Whether .* lacking: scores are worse for U-Net light .* and FPN \(3 against 1\)\.",
        ),
    ],
)
def test_the_answer_follows_the_numbers(
    plan: dict, home: Path, gains: dict, verdict: str, headline: str
) -> None:
    plan["seeds"] = [0, 1, 2]
    content = analysed(plan, home, gains)
    assert re.fullmatch(headline, content["answer"]["headline"])
    assert [line["verdict"] for line in content["answer"]["lines"]] == [verdict] * 2
    for comparison in content["comparisons"]:
        assert comparison["p_holm"] < 0.05
        for low, high in (("low", "high"), ("low_patients", "high_patients")):
            assert comparison[low] < comparison["value"] < comparison[high]
        assert comparison["trainings"] == [3, 3]
        assert 0 < comparison["could_show"] < 0.1


def test_no_effect_is_called_that_and_what_would_show_it_is_said(plan: dict, home: Path) -> None:
    plan["seeds"] = [0, 1, 2]
    plan["models"] = plan["models"][:1]
    content = analysed(plan, home, {})
    assert content["answer"]["headline"].startswith("No difference shown: synthetic data neither")
    (comparison,) = content["comparisons"]
    assert comparison["p"] > 0.05
    assert abs(comparison["value"]) < comparison["could_show"]
    (line,) = content["answer"]["lines"]
    assert re.search(
        r"could have shown [\d.]+ points \(3 seeds, 8 test patients\); the [\d.]+ seen would take ",
        line["reach"],
    )


def test_one_seed_gives_no_verdict_but_says_how_to_get_one(plan: dict, home: Path) -> None:
    content = analysed(plan, home, {"3": 0.1})
    assert content["answer"]["headline"].startswith("One training of each: whether synthetic data")
    for comparison in content["comparisons"]:
        assert comparison["verdict"] == "in this one training"
        assert (comparison["p"], comparison["low"], comparison["could_show"]) == (None, None, None)
        assert comparison["low_patients"] < comparison["value"] < comparison["high_patients"]
    assert content["tests"]["family_size"] == 0
    assert "patients only" in content["answer"]["lines"][0]["numbers"]
    assert any("`seeds: [0, 1, 2, 3, 4]`" in limit for limit in content["answer"]["limits"])


def test_one_training_of_one_arm_says_nothing_of_the_others(plan: dict, home: Path) -> None:
    plan["seeds"] = [0, 1]
    fake_verbs.order("3__fpn__seed1", "fail")
    limits = analysed(plan, home, {"3": 0.1})["answer"]["limits"]
    (told,) = [limit for limit in limits if "ne training" in limit]
    assert told.startswith("One training of an arm: FPN, 3 against 1. These numbers are about that")
    assert "run the study again" in told


def test_one_patient_is_never_called_no_difference(plan: dict, home: Path) -> None:
    plan["seeds"] = [0, 1]
    out = run(plan, home, {"3": 0.1})
    found = records(out)
    for record in found:
        evaluation = record["evaluation"]
        for key in ("images", "patients"):
            evaluation[key] = [r for r in evaluation[key] if r["patient_id"] == "case_00000"]
    content = analyse(parse_specification(plan, "plan"), found, [])
    assert content["answer"]["headline"].startswith("Undecided: too few test patients")
    assert {c["verdict"] for c in content["comparisons"]} == {"too few patients to tell"}
    assert any("one patient" in limit for limit in content["answer"]["limits"])


def test_a_model_that_finds_nothing_is_named(plan: dict, home: Path) -> None:
    found = records(run(plan, home))
    for record in found:
        if record["name"] == "1__fpn__seed0":
            for row in record["evaluation"]["images"]:
                row["iou_mean"] = 0.41
    limits = analyse(parse_specification(plan, "plan"), found, [])["answer"]["limits"]
    assert any(
        "finding nothing at all" in limit and "FPN in scenario 1." in limit for limit in limits
    )
    assert any("Intervals rest on 8 test patients" in limit for limit in limits)


def test_only_pairs_that_differ_in_synthetic_data_answer(plan: dict, home: Path) -> None:
    flip = ["--data.augmentation", "geometric"]
    plan["scenarios"] += [
        {"id": 2, "name": "geometric", "arguments": flip},
        {"id": 4, "name": "both", "synthetic": True, "arguments": flip},
    ]
    plan["extra_comparisons"] = [[4, 2]]
    plan["seeds"] = [0, 1]
    content = analysed(plan, home, {"3": 0.1, "2": -0.1, "4": -0.1})
    pairs = {line["pair"] for line in content["answer"]["lines"]}
    assert pairs == {"scenario 3 against 1", "scenario 4 against 2"}
    assert content["tests"]["family_size"] == 8


def test_lower_may_be_better(plan: dict, home: Path) -> None:
    plan["metric"] = {"name": "hd95_kidney", "percent": False, "higher_is_better": False}
    plan["seeds"] = [0, 1, 2]
    content = analysed(plan, home, {"3": 0.1})
    assert {c["verdict"] for c in content["comparisons"]} == {"better, without control"}
    assert all(c["value"] < 0 for c in content["comparisons"])


def test_units_that_mix_are_not_averaged(plan: dict, home: Path) -> None:
    out = run(plan, home)
    found = records(out)
    found[0]["evaluation"]["patients"][0]["hd95_unit"] = "px"
    further = analyse(parse_specification(plan, "plan"), found, [])["further"]
    mixed = next(one for one in further if one["metric"] == "hd95_kidney")
    assert mixed["mixed_units"]
    assert mixed["groups"] == []


def test_a_split_by_slice_is_warned_of(plan: dict, home: Path) -> None:
    found = records(run(plan, home))
    found[0]["evaluation"]["split_by"] = "slice"
    notes = analyse(parse_specification(plan, "plan"), found, [])["data_notes"]
    assert any("split by slice" in note for note in notes)


def test_numbers_are_shown_alike_everywhere() -> None:
    assert numbers.score(0.5851, True) == "58.5"
    assert numbers.score(4.9, False) == "4.90"
    assert numbers.score(123.4, False) == "123"
    assert numbers.score(None, True) == numbers.NONE
    assert numbers.difference(-0.012, True) == f"{numbers.MINUS}1.2"
    assert numbers.difference(-0.0001, True) == "0.0"
    assert numbers.p_phrase(0.00001) == "p < 0.0001"
    assert numbers.p_phrase(0.0312) == "p = 0.031"
    assert numbers.p_value(1.0) == "1"


def test_figures_leave_room_for_their_legend_and_others_plots_alone() -> None:
    import matplotlib
    from matplotlib import pyplot

    size = matplotlib.rcParams["font.size"] = 7.5
    figure, axes = figures.new_figure(figsize=(4, 3))
    axes.plot([0, 1], label="a long label of a line")
    axes.set_title("a title")
    figures.shared_legend(figure, axes)
    figure.canvas.draw()
    title, legend = axes.title.get_window_extent(), figure.legends[0].get_window_extent()
    assert title.y1 < legend.y0
    assert (matplotlib.rcParams["font.size"], pyplot.get_fignums()) == (size, [])


def test_panels_keep_their_height_however_long_the_legend_is() -> None:
    heights = []
    for lines in (2, 14):
        figure, axes = figures.new_figure(figsize=(4, 3))
        for line in range(lines):
            axes.plot([0, 1], label=f"{line}: an arm whose name is as long as they often are")
        figures.shared_legend(figure, axes)
        figure.canvas.draw()
        heights.append(axes.get_window_extent().height)
        assert figure.legends[0].get_window_extent().y1 <= figure.bbox.y1
    assert heights[1] == pytest.approx(heights[0], rel=0.1)


def test_what_decides_what_is_explored_and_the_placebo_are_drawn_differently(
    plan: dict, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan |= {"seeds": [0, 1, 2], "placebo": True, "primary": [3]}
    plan["scenarios"].append({"id": 5, "arguments": ["--g", "1"]})
    content = analysed(plan, home, {"3": 0.1})
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "png", lambda figure: drawn.append(figure) or b"")
    plots.differences(parse_specification(plan, "plan"), content)
    told = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert [label.split(":")[0] for label in told] == ["primary", "exploratory", "placebo"]
    marks = [line.get_marker() for line in drawn[0].axes[0].lines if len(line.get_xdata()) == 1]
    assert marks == ["o", "o", "s", "s", "D", "D"]  # of two models


def test_a_smallest_difference_above_1_is_none_of_a_share(plan: dict, home: Path) -> None:
    plan["seeds"] = [0, 1, 2]
    specification = parse_specification(plan, "plan")
    content = analysed(plan, home, {"3": 0.1})
    content["comparisons"][0]["could_show"] = 1.03
    first, second = comparison_table(specification, content).rows
    assert first[6].text == "none"
    assert second[6].text not in ("none", numbers.NONE)


@pytest.mark.parametrize("length", [10, 38])
def test_legends_stay_inside_their_figure(length: int) -> None:
    figure, axes = figures.new_figure(figsize=(4, 3))
    for name in "ab":
        axes.plot([0, 1], label=name * length)
    figures.shared_legend(figure, axes)
    figure.canvas.draw()
    (legend,) = figure.legends
    first, second = (text.get_window_extent() for text in legend.get_texts())
    assert legend.get_window_extent().x1 <= figure.bbox.x1
    assert (first.y0 == second.y0) == (length == 10)  # side by side if they fit


@pytest.mark.parametrize(("limits", "shown"), [((50, 400), "300"), ((0.05, 6), "0.1")])
def test_logarithmic_axes_have_plain_numbers(limits: tuple[float, float], shown: str) -> None:
    figure, axes = figures.new_figure(figsize=(4, 3))
    axes.plot(limits, limits)
    figures.logarithmic(axes, "y")
    figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_yticklabels(which="both")]
    assert shown in labels
    assert all(not label or float(label) > 0 for label in labels)
