"""When does a generator begin to copy? Audits of sets from several of its checkpoints.

python benchmarks/audit_checkpoints.py --data.root CACHE --sets SET [SET ...] --out FOLDER

The sets are what generate.py wrote from checkpoints of one training on the cache. Training and
held-out images are looked at once, with the audit's own functions, and then every set: the table
says how many of its images are suspicious, and how many lie on a training image as closely as it
lies on itself. It also runs where `evaluate.py audit` refuses a verdict for want of patients: then
it gives figures, and no verdict. FOLDER gets figures.json, curve.png, and pairs.png, which shows
real images of patients.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from audit.images import AuditedSets, Images, audited_sets
from audit.kept_embedding import kept_or_trained
from audit.matching import Gallery, Matches, match, points_of
from audit.measure import likenesses_of, regions_of
from audit.pairs import pair_of, pair_sheet
from audit.statistics import FloatArray, Scale, by_chance, threshold_of
from datamodules.open_cache import open_cache
from datamodules.synthetic import SyntheticSet
from display.figures import COLOURS, DASHES, new_figure, png, styled
from output_folder import claim_folder
from provenance import UserError, sha256_of, whole_file, write_json_atomic

PAIRS = 6
_PLAIN, _SURE = 50, 0.05


@dataclass(frozen=True)
class Seen:
    """Some images, as both embeddings saw them.

    Attributes:
        likenesses: (N, 2), the mean of both.
        first: Matches of the first.
    """

    likenesses: FloatArray
    first: Matches


class Eyes:
    """Two embeddings of the training images, and the galleries that they search.

    Args:
        folder: Where the embeddings are kept.
        training: Images of at least 2 patients.
        seed: Of the embeddings.
    """

    def __init__(self, folder: Path, training: Images, seed: int) -> None:
        owners = torch.from_numpy(np.unique(training.patients, return_inverse=True)[1])
        self._ready = []
        for number in range(2):
            network = kept_or_trained(folder, training.pixels, 2 * seed + number)
            points = points_of(network, training.pixels)
            self._ready.append((network, Gallery(training.pixels, owners, points)))

    def look(self, pixels: torch.Tensor, own: torch.Tensor | None = None) -> Seen:
        """At (N, 1, S, S) uint8; `own` as in `match`."""
        found = [match(network, gallery, pixels, own) for network, gallery in self._ready]
        return Seen(np.mean([likenesses_of(one) for one in found], 0), found[0])


def judged(
    seen: Seen, patients: Sequence[str], held_out: Seen, sets: AuditedSets, plain: FloatArray
) -> dict[str, Any]:
    """The figures of one set.

    Args:
        seen: Its images.
        patients: Whose each is.
        held_out: The held-out images.
        sets: Of which they are.
        plain: (P, 2) likenesses of training images looked at as if they were synthetic.
    """
    scale = Scale.of(held_out.likenesses)
    others, scores = scale.scores(held_out.likenesses), scale.scores(seen.likenesses)
    flags = scores > threshold_of(others)
    level = float(np.quantile(scale.scores(plain), _SURE))
    chance = by_chance(
        seen.likenesses, patients, held_out.likenesses, sets.held_out.patients, seed=0
    )
    regions = torch.tensor(regions_of(seen.first, scale))
    source = seen.first.source.gather(1, regions[:, None])[:, 0].numpy()
    return {
        "images": len(scores),
        "flagged": int(flags.sum()),
        "above_every_held_out": int((scores > others.max()).sum()),
        "like_a_plain_copy": int((scores >= level).sum()),
        "training_images_copied": len(set(source[flags].tolist())),
        "correlation": float(seen.first.correlation[:, 0].median()),
        "held_out_correlation": float(held_out.first.correlation[:, 0].median()),
        "p_flagged": chance.flagged,
        "p_above": chance.above_all,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| set | images | above the threshold | above every held-out | like a plain copy | "
        "training images that those above the threshold lie on | median correlation (held-out) | "
        "p of flags, of images above all |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['set']} | {row['images']} | {row['flagged']} "
        f"({100 * row['flagged'] / row['images']:.1f} %) | {row['above_every_held_out']} | "
        f"{row['like_a_plain_copy']} | {row['training_images_copied']} | "
        f"{row['correlation']:.3f} ({row['held_out_correlation']:.3f}) | "
        f"{row['p_flagged']:.2g}, {row['p_above']:.2g} |"
        for row in rows
    ]
    return "\n".join(lines)


def places_of(names: Sequence[str]) -> list[int] | list[str]:
    """Where sets stand along the axis: at their numbers if all names are such, else in order."""
    return [int(name) for name in names] if all(map(str.isdecimal, names)) else list(names)


@styled
def curve(rows: Sequence[dict[str, Any]], held_out: int) -> bytes:
    """PNG: shares of suspicious images, set by set.

    Args:
        rows: As `judged`, with the set's name.
        held_out: Images that the second line is about.
    """
    figure, panel = new_figure(figsize=(6.4, 3.2))
    places = places_of([row["set"] for row in rows])
    for key, label, colour, dashes in zip(
        ("flagged", "above_every_held_out"),
        ("above the threshold", f"above every one of {held_out} held-out images"),
        COLOURS,
        DASHES,
        strict=False,
    ):
        shares = [100 * row[key] / row["images"] for row in rows]
        panel.plot(places, shares, color=colour, linestyle=dashes, marker="o", label=label)
    panel.axhline(1, color=COLOURS[6], linewidth=1, label="held-out images above the threshold")
    room = 1.5 * max(1.0, panel.get_ylim()[1])  # for the legend, above the lines
    seen = "images that the generator had seen" if isinstance(places[0], int) else "set"
    panel.set(xlabel=seen, ylabel="images of the set, %", ylim=(0, room))
    if isinstance(places[0], int):
        panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.legend(frameon=False, loc="upper left")
    return png(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data.root", dest="root", type=Path, required=True, help="cache")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help="in order")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--num-images", type=int, help="of each set, at most")
    parser.add_argument("--num-held-out", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        rows = run(options)
    except UserError as error:
        print(f"audit_checkpoints.py: {error}", file=sys.stderr)
        sys.exit(2)
    print(table(rows))


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Look at all sets, and write the figures and the pairs of the last one.

    Raises:
        UserError: Sets that do not fit the cache or one another.
    """
    cache = open_cache(options.root)
    fakes = [SyntheticSet.open(path) for path in options.sets]
    identity = {
        "task": "audit_checkpoints",
        "real_sha256": cache.content_sha256,
        "sets_sha256": [sha256_of(one.root / "manifest.json") for one in fakes],
        "num_images": options.num_images,
        "num_held_out": options.num_held_out,
        "seed": options.seed,
    }
    claim_folder(options.out, "begun.json", identity, "benchmark")
    of_each = [
        audited_sets(one, cache, "val+test", options.num_images, options.num_held_out, False)
        for one in fakes
    ]
    first = of_each[0]
    for path, sets in zip(options.sets, of_each, strict=True):
        if sets.training.ids != first.training.ids or sets.held_out.ids != first.held_out.ids:
            raise UserError(
                f"{path}: its generator knew other images than that of {options.sets[0]}. Give "
                "sets from checkpoints of one training."
            )
    eyes = Eyes(options.out, first.training, options.seed)
    held_out = eyes.look(first.held_out.pixels)
    plain = eyes.look(first.training.pixels[:_PLAIN]).likenesses
    rows = []
    for path, sets in zip(options.sets, of_each, strict=True):
        own = sets.own if bool((sets.own >= 0).any()) else None
        seen = eyes.look(sets.synthetic.pixels, own)
        rows.append({"set": path.name})
        rows[-1] |= judged(seen, sets.synthetic.patients, held_out, sets, plain)
        print(rows[-1], flush=True)
    facts = {
        "training": len(first.training),
        "training_patients": first.training.num_patients,
        "held_out": len(first.held_out),
        "held_out_patients": first.held_out.num_patients,
    }
    write_json_atomic(options.out / "figures.json", facts | {"sets": rows})
    with whole_file(options.out / "curve.png") as stream:
        stream.write(curve(rows, len(first.held_out)))
    scale = Scale.of(held_out.likenesses)
    scores, regions = scale.scores(seen.likenesses), regions_of(seen.first, scale)
    shown = [
        pair_of(row, regions[row], sets.synthetic.pixels, sets.training.pixels, seen.first)
        for row in np.argsort(-scores)[:PAIRS].tolist()
    ]
    with whole_file(options.out / "pairs.png") as stream:
        image = Image.fromarray(pair_sheet(shown, sets.synthetic, scores.tolist()))
        image.save(stream, format="PNG")
    return rows


if __name__ == "__main__":
    main()
