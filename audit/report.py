"""The files of an audit: a page and a text that show no patient, and what stays with the data."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audit.images import Images
from audit.matching import Matches
from audit.measured import Measured
from audit.pairs import REGION_NAMES, pair_of, pair_sheet
from audit.planted import PLAIN
from audit.verdict import LIMITS, headline, next_steps, percent, sentences
from display.figures import COLOURS, new_figure, png, shared_legend, styled
from display.numbers import interval
from display.pages import PageFigure, render_page
from display.sheet import save_png
from display.tables import Table, as_text, markdown, text_table
from gates.judge import table_of
from provenance import write_text_atomic

PAGE, SUMMARY, STAYS = "report.html", "report.md", "shows_patients"

_PAIRS, _HELD_OUT_PAIRS = 12, 4
_NOTICE = """This folder shows real images of patients and names them as the cache does.

It stays with the data. Hand on report.html, report.md and audit.json without it.
"""


def write_report(out: Path, result: Mapping[str, Any], found: Measured) -> None:
    """Write the page, the text, and the folder that stays.

    Args:
        out: The audit's folder.
        result: audit.json's content.
        found: What it was made from.
    """
    folder = out / STAYS
    write_text_atomic(folder / "README.txt", _NOTICE)
    for name, images, scores, matches, regions, most in (
        ("pairs.png", found.sets.synthetic, found.synthetic, found.matches, found.regions, _PAIRS),
        (
            "held_out_pairs.png",
            found.sets.held_out,
            found.held_out,
            found.held_out_matches,
            found.held_out_regions,
            _HELD_OUT_PAIRS,
        ),
    ):
        order = np.argsort(-scores, kind="stable")[:most].tolist()
        pairs = [
            pair_of(row, regions[row], images.pixels, found.sets.training.pixels, matches[0])
            for row in order
        ]
        save_png(folder / name, pair_sheet(pairs, images, scores.tolist()))
    write_text_atomic(folder / "pairs.csv", _list_of_pairs(found, found.matches[0]))
    groups, planted = _groups(result), _planted(result)
    page = render_page(
        Path(__file__).with_name("report.html.j2"),
        result=result,
        headline=headline(result),
        sentences=sentences(result),
        steps=next_steps(result),
        required=_required(result),
        groups=groups,
        planted=planted,
        scores=PageFigure(
            "",
            scores_plot(found),
            "Histograms of scores: synthetic, held-out, and planted copies.",
            "How far each image's best training image stands above those of other patients. "
            "Scores past 20 are drawn at 20.",
        ),
        limits=LIMITS,
        stays=STAYS,
    )
    write_text_atomic(out / PAGE, page)
    write_text_atomic(out / SUMMARY, _text(result, groups, planted))


def _required(result: Mapping[str, Any]) -> Table | None:
    return table_of(result["require"]) if "require" in result else None


def _groups(result: Mapping[str, Any]) -> Table:
    reached = result["like_a_plain_copy"]
    untold = "not told apart"
    rows = [
        (
            "synthetic",
            f"{result['num_synthetic']:,}",
            f"{result['flagged']:,} ({percent(result['flagged_share'])})",
            str(result["above_every_held_out"]),
            untold if reached is None else str(reached),
        ),
        (
            f"held-out, {result['num_held_out_patients']:,} patients",
            f"{result['num_held_out_images']:,}",
            f"{percent(result['held_out_flagged_share'])} "
            f"[{percent(result['held_out_flagged_low'])} to "
            f"{percent(result['held_out_flagged_high'])}]",
            "0, as it must be",
            untold if reached is None else str(result["held_out_like_a_plain_copy"]),
        ),
    ]
    return text_table(
        ("", "Images", "Above the threshold", "Above every held-out", "Like a plain copy"),
        rows,
        "Threshold: 1 % of held-out images lie above it. Their own share is that of each half of "
        "the patients by the other half's threshold, with its 90 % interval over patients. Like a "
        "plain copy: above 95 % of planted copies without a disguise.",
    )


def _planted(result: Mapping[str, Any]) -> Table:
    rows = [
        (
            row["disguise"],
            percent(row["found"]),
            interval(row["low"], row["high"], percent),
            percent(row["above_every_held_out"]),
            percent(row["source_named"]),
            percent(row["copies_at_most"]),
        )
        for row in result["planted"]
    ]
    rows += [
        (
            f"no copies: {row['what']}",
            percent(row["found"]),
            interval(row["low"], row["high"], percent),
            percent(row["above_every_held_out"]),
            "",
            "",
        )
        for row in result["no_copies"]
    ]
    columns = ("Disguise", "Found", "95 % interval", "Above every held-out", "Source named")
    return text_table(
        (*columns, "Such copies in the set, at most"),
        rows,
        f"{result['planted'][0]['num']} copies of training images in each disguise were made on "
        "the spot and judged as the set was. Source named: the training image that lies on it best "
        "is the one that it is a copy of. At most: upper 95 % bound, taking the share that is "
        "found at its lower end. Rebuilt copies, and those that a small generator made which had "
        "seen nothing but 50 of the images, stand for what generators make of a copy. No copies: "
        "few of them should be found, as blurred as they are.",
    )


def _text(result: Mapping[str, Any], groups: Table, planted: Table) -> str:
    required = _required(result)
    parts = [
        f"# Audit for copies: {result['synthetic']} against {result['cache']}",
        f"**{headline(result)}**",
        _listed(sentences(result)),
        *(["## What was required", markdown(required).strip()] if required else []),
        *(["## Before you rely on it", _listed(result["notes"])] if result["notes"] else []),
        "## What to do now",
        _listed(next_steps(result)),
        "## The set beside images that cannot be copies",
        markdown(groups).strip(),
        "## What this audit can see, on these data",
        markdown(planted).strip(),
        "## What it does not see",
        _listed(LIMITS),
        "## If the set is handed on",
        _listed(result["obligations"]),
        f"Pictures of pairs show patients; they lie in {STAYS}/ and stay with the data.",
        f"```\n{result['command']}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {as_text(line)}" for line in lines)


def _list_of_pairs(found: Measured, matches: Matches) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["id", "score", "flagged", "region", "correlation", "negative", "training_image", "patient"]
    )
    training: Images = found.sets.training
    for row in np.argsort(-found.synthetic, kind="stable").tolist():
        region = found.regions[row]
        source = int(matches.source[row, region])
        writer.writerow(
            [
                found.sets.synthetic.ids[row],
                f"{found.synthetic[row]:.4f}",
                int(found.synthetic[row] > found.threshold),
                REGION_NAMES[region],
                f"{float(matches.correlation[row, region]):.4f}",
                int(matches.negative[row, region]),
                training.ids[source],
                training.patients[source],
            ]
        )
    return text.getvalue()


@styled
def scores_plot(found: Measured) -> bytes:
    """Histograms of the scores of the set, of held-out images and of planted copies."""
    figure, axes = new_figure(figsize=(7.2, 3.6))
    planted = np.concatenate([one.scores for one in found.planted.values()])
    edges = np.linspace(-3, 20, 70)
    for scores, label, colour, style in (
        (found.held_out, "held-out images", COLOURS[6], "-"),
        (planted, "planted copies, all disguises", COLOURS[1], (0, (1, 1.2))),
        (found.planted[PLAIN].scores, "of these undisguised", COLOURS[5], (0, (5, 2))),
        (found.synthetic, "synthetic images", COLOURS[0], "-"),
    ):
        share = np.full(len(scores), 100 / len(scores))
        axes.hist(
            scores.clip(-3, 20),
            edges,
            weights=share,
            histtype="step",
            label=label,
            color=colour,
            linestyle=style,
            linewidth=1.8,
        )
    axes.axvline(found.threshold, color="#333333", linewidth=1)
    axes.annotate(
        "threshold", (found.threshold, 1), xycoords=("data", "axes fraction"), xytext=(4, -10),
        textcoords="offset points", fontsize=9,
    )  # fmt: skip
    axes.set_xlabel("Score")
    axes.set_ylabel("Share of images, %")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    shared_legend(figure, axes)
    return png(figure)
