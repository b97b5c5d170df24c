"""The files of an audit: a page and a text that show no patient, and what stays with the data."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audit.control_tables import groups_table, planted_table
from audit.distances.words import Part, parts_by_distance
from audit.images import Images
from audit.matching import Matches
from audit.measured import Measured
from audit.pairs import REGION_NAMES, pair_of, pair_sheet
from audit.plots import components_plot, scores_plot
from audit.verdict import LIMITS, headline, next_steps, sentences
from display.pages import PageFigure, render_page
from display.png import save_png
from display.tables import Table, as_text, markdown
from foreign_text import printable
from gates.judge import table_of
from provenance import whole_file, write_text_atomic

PAGE, SUMMARY, STAYS = "report.html", "report.md", "shows_patients"

_PAIRS, _HELD_OUT_PAIRS = 12, 4
COMPONENTS = (
    "The first two principal components of training images in the audit's own embedding, and where "
    "held-out and synthetic images lie. A point of a patient's image may be personal data, since "
    "whoever has the image may find it again; so real images are drawn as areas here. As points "
    "they lie in shows_patients/components.png, which stays with the data."
)
_NOTICE = """This folder shows real images of patients and names them as the cache does.

In components.png each of them is a point, by which whoever has the image may find it again.
command.txt is the command with its folders. All of it stays with the data. Hand on report.html,
report.md and audit.json without it.
"""


def write_report(out: Path, result: Mapping[str, Any], found: Measured, command: str) -> None:
    """Write the page, the text, and the folder that stays.

    Args:
        out: The audit's folder.
        result: audit.json's content.
        found: What it was made from.
        command: What was typed, with its folders; it stays.
    """
    folder = out / STAYS
    write_text_atomic(folder / "README.txt", _NOTICE)
    write_text_atomic(folder / "command.txt", f"{command}\n")
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
    own = found.spaces[0]
    with whole_file(folder / "components.png") as stream:
        stream.write(components_plot(own, points=True))
    groups, planted = groups_table(result), planted_table(result)
    distances = parts_by_distance(result)
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
        distances=distances,
        components=PageFigure(
            "",
            components_plot(own, points=False),
            "Scatter plot of synthetic images over outlines of where real images lie.",
            COMPONENTS,
        ),
        limits=LIMITS,
        stays=STAYS,
    )
    write_text_atomic(out / PAGE, page)
    write_text_atomic(out / SUMMARY, _text(result, groups, planted, distances))


def _required(result: Mapping[str, Any]) -> Table | None:
    return table_of(result["require"]) if "require" in result else None


def _text(
    result: Mapping[str, Any], groups: Table, planted: Table, distances: Sequence[Part]
) -> str:
    required = _required(result)
    parts = [
        f"# Audit for copies: a synthetic set of {printable(result['dataset'])}",
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
        *(text for part in distances for text in _written(part)),
        "## What it does not see",
        _listed(LIMITS),
        "## If the set is handed on",
        _listed(result["obligations"]),
        f"Pictures of pairs show patients; they lie in {STAYS}/ and stay with the data.",
        f"```\n{result['command']}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _written(part: Part) -> list[str]:
    table = [] if part.table is None else [markdown(part.table).strip()]
    return [f"## {part.title}", *([_listed(part.sentences)] if part.sentences else []), *table]


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
