"""What `audit_copies.py` looked at, judged as `evaluate.py audit` does, and its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from audit.matching import Matches
from audit.measure import likenesses_of, regions_of
from audit.statistics import FloatArray, Scale, by_chance, share_of, threshold_of
from benchmarks.audit_redealt import Redealt, redealt

FOUND, FOUND_PARTLY = 0.95, 0.80
FLAGGED_ON_AVERAGE, FLAGGED_IN_ANY = 0.013, 0.025
PLACEBO_P = 0.01
PARTLY = ("left half of one, right half of another", "a box of text on it")
OF_FRESH = "fresh films rebuilt from 100 components"
"""Reconstructions of films that nobody copied: they count as fresh, not as copies."""


@dataclass(frozen=True)
class Looked:
    """Some images of one kind, as both embeddings and the registration saw them.

    Attributes:
        likenesses: (N, 2), the mean of both embeddings.
        first: Matches of the first embedding.
    """

    likenesses: FloatArray
    first: Matches


def looked(files: Sequence[Path]) -> dict[str, Looked]:
    """All that some files keep, by kind of image, in their order."""
    found: dict[str, list[list[Matches]]] = {}
    for path in files:
        content = load_file(path)
        names = dict.fromkeys(key.split("/")[1] for key in content if key[0].isdigit())
        for group in names:
            both = [
                Matches(
                    **{
                        name: content[f"{number}/{group}/{name}"]
                        for name in Matches.__annotations__
                    }
                )
                for number in range(2)
            ]
            found.setdefault(group, []).append(both)
    return {
        group: Looked(
            np.concatenate([np.mean([likenesses_of(one) for one in both], 0) for both in parts]),
            Matches(
                **{
                    name: torch.cat([getattr(both[0], name) for both in parts])
                    for name in Matches.__annotations__
                }
            ),
        )
        for group, parts in found.items()
    }


def rows_of(path: Path) -> dict[str, Tensor]:
    """Which training film each image of a file is a copy of, by kind of image; "" for the rest."""
    content = load_file(path)
    named = {key[5:]: rows for key, rows in content.items() if key.startswith("rows/")}
    return {"": content["rows"]} | named


def judged(
    folder: Path, held_out_patients: Sequence[str], fresh_patients: Sequence[str], seed: int
) -> dict[str, Any] | None:
    """The figures of one draw of patients; None while not all of its films were looked at.

    Args:
        folder: Of the draw.
        held_out_patients: (m,) whose each held-out film is.
        fresh_patients: (n,) likewise.
        seed: Of the draw.
    """
    sides = looked(sorted(folder.glob("held_out_*"))) | looked(sorted(folder.glob("fresh_*")))
    if [len(sides[name].likenesses) if name in sides else 0 for name in ("held_out", "fresh")] != [
        len(held_out_patients),
        len(fresh_patients),
    ]:
        return None
    held_out, fresh = sides["held_out"].likenesses, sides["fresh"].likenesses
    scale = Scale.of(held_out)
    threshold = threshold_of(scale.scores(held_out))
    scores = scale.scores(fresh)
    chance = by_chance(fresh, fresh_patients, held_out, held_out_patients, seed)
    flagged = share_of(scores > threshold, list(fresh_patients))
    files = sorted(folder.glob("copies_*"))
    draws = [looked([path]) for path in files]
    rows = [rows_of(path) for path in files]
    return {
        "seed": seed,
        "held_out": len(held_out),
        "held_out_patients": len(set(held_out_patients)),
        "fresh": len(fresh),
        "fresh_patients": len(set(fresh_patients)),
        "flagged": flagged.value,
        "flagged_low": flagged.low,
        "flagged_high": flagged.high,
        "above_every_held_out": int((scores > scale.scores(held_out).max()).sum()),
        "p_flagged": chance.flagged,
        "p_above": chance.above_all,
        "redealt": vars(
            redealt(
                np.concatenate([fresh, held_out]),
                [f"f {one}" for one in fresh_patients] + [f"h {one}" for one in held_out_patients],
                len(fresh),
                seed,
            )
        ),
        "planted": planted_figures(draws, rows, scale, threshold),
        "mixed": [
            mixed(draw, fresh, fresh_patients, held_out, held_out_patients, seed) for draw in draws
        ],
    }


def planted_figures(
    draws: Sequence[Mapping[str, Looked]],
    rows: Sequence[Mapping[str, Tensor]],
    scale: Scale,
    threshold: float,
) -> dict[str, dict[str, Any]]:
    """For each disguise: copies, share found in each draw of copies, share of the right film."""
    figures: dict[str, dict[str, Any]] = {}
    for draw, of_draw in zip(draws, rows, strict=True):
        for name, seen in draw.items():
            copied = of_draw.get(name, of_draw[""])
            flags = scale.scores(seen.likenesses) > threshold
            at = torch.tensor(regions_of(seen.first, scale))
            named = seen.first.source.gather(1, at[:, None])[:, 0] == copied
            row = figures.setdefault(name, {"num": 0, "found": [], "named": []})
            row["num"] += len(flags)
            row["found"].append(float(flags.mean()))
            row["named"].append(float(named.float().mean()))
    return figures


def mixed(
    draw: Mapping[str, Looked],
    fresh: FloatArray,
    fresh_patients: Sequence[str],
    held_out: FloatArray,
    held_out_patients: Sequence[str],
    seed: int,
) -> dict[str, float]:
    """A set in which copies take the place of the first fresh films, their disguises in turn."""
    kinds = [seen.likenesses for name, seen in draw.items() if name != OF_FRESH]
    copies = np.stack([kinds[row % len(kinds)][row] for row in range(len(kinds[0]))])
    names = [f"copy {row}" for row in range(len(copies))] + list(fresh_patients[len(copies) :])
    likenesses = np.concatenate([copies, fresh[len(copies) :]])
    chance = by_chance(likenesses, names, held_out, held_out_patients, seed)
    return {"p_flagged": chance.flagged, "p_above": chance.above_all}


def misses(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences, one for each bar that was missed."""
    found = []
    flagged = [row["flagged"] for row in rows]
    if np.mean(flagged) > FLAGGED_ON_AVERAGE:
        found.append(f"fresh films: {_percent(np.mean(flagged))} flagged on average")
    found += [
        f"draw {row['seed']}: {_percent(row['flagged'])} of fresh films flagged"
        for row in rows
        if row["flagged"] > FLAGGED_IN_ANY
    ]
    found += [
        f"draw {row['seed']}: placebo p = {p:.3f}"
        for row in rows
        for p in (row["p_flagged"], row["p_above"])
        if p <= PLACEBO_P
    ]
    for name, each in _by_disguise(rows).items():
        share = _mean(each)
        if name == OF_FRESH:
            if share > FLAGGED_IN_ANY:
                found.append(f"{name}: {_percent(share)} flagged")
        elif share < (FOUND_PARTLY if name in PARTLY else FOUND):
            found.append(f"{name}: {_percent(share)} found")
    return found


def page(rows: Sequence[Mapping[str, Any] | None]) -> str:
    """Markdown tables of all draws that can be judged."""
    ready = [row for row in rows if row is not None]
    if not ready:
        return "No draw of patients was looked at whole yet."
    lines = [
        "| disguise | copies | found | least of the draws of patients | least of all draws of "
        "copies | the right film named |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in _by_disguise(ready).items():
        least = min(share for row in each for share in row["found"])
        named = np.mean([share for row in each for share in row["named"]])
        lines.append(
            f"| {name} | {sum(row['num'] for row in each)} | {_percent(_mean(each))} | "
            f"{_percent(min(np.mean(row['found']) for row in each))} | {_percent(least)} | "
            f"{'' if name == OF_FRESH else _percent(named)} |"
        )
    lines += [
        "",
        "| draw of patients | held-out films (patients) | fresh films (patients) | flagged | "
        "above every held-out | p of flags, of films above all | dealt anew 200 times: mean, "
        "largest | sets with copies that were shown |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ready:
        again = Redealt(**row["redealt"])
        shown = [min(one.values()) <= 0.005 for one in row["mixed"]]
        lines.append(
            f"| {row['seed']} | {row['held_out']:,} ({row['held_out_patients']}) | "
            f"{row['fresh']:,} ({row['fresh_patients']}) | {_percent(row['flagged'])} "
            f"[{_percent(row['flagged_low'])} to {_percent(row['flagged_high'])}] | "
            f"{row['above_every_held_out']} | {row['p_flagged']:.2g}, {row['p_above']:.2g} | "
            f"{_percent(again.mean)}, {_percent(again.largest)} | "
            f"{f'{sum(shown)} of {len(shown)}' if shown else ''} |"
        )
    missed = misses(ready)
    lines += ["", "Missed: " + "; ".join(missed) + "." if missed else "No bar was missed."]
    return "\n".join(lines) + "\n"


def _by_disguise(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        for name, figures in row["planted"].items():
            found.setdefault(name, []).append(figures)
    return found


def _mean(each: Sequence[Mapping[str, Any]]) -> float:
    """Over all draws of copies, which are of one size."""
    return float(np.mean([share for row in each for share in row["found"]]))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
