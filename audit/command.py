"""Does a synthetic set copy images that its generator was trained on?

The flags of evaluate.py audit are the function's arguments: nothing heavy is imported before it is
called.
"""

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from device import Device, chosen_device
from gates.names import OF_AUDITS
from gates.rules import parse_rules
from licences import obligations
from output_folder import check_folder, refuse_taken
from private_paths import command_for_others
from provenance import UserError, library_versions, write_json_atomic

if TYPE_CHECKING:
    from audit.images import AuditedSets

RESULT = "audit.json"

FEWEST_TRAINING = 10
FEWEST_HELD_OUT = 30
"""Patients. Of fewer, nobody can say what a likeness by chance is."""

FEWEST_PLANTED = 20


def audit(
    synthetic: Path,
    root: Path,
    out: Path,
    split: Literal["val", "test", "val+test"] = "val+test",
    num_images: int | None = None,
    num_held_out: int = 2000,
    num_planted: int = 100,
    device: Device = "auto",
    seed: int = 0,
    show_progress: bool = True,
    require: str | None = None,
    extractor: str | None = None,
    weights: Path | None = None,
    control_set: Path | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Look for copies of training images in a synthetic set.

    Two embeddings, trained only on the training images, propose candidates for each image, its
    corners and its negative; each candidate is registered to the image. An image is suspicious if
    the best candidate matches far better than those of other patients. Images of held-out patients
    give the threshold; copies planted during the audit, in eighteen disguises (one made by a
    generator), show what would be found. Writes audit.json, report.html and report.md, which show
    no patient, and shows_patients/ with the most suspicious pairs, which stays with the data. The
    embeddings are stored in the cache's folder audit/.

    Args:
        synthetic: A synthetic set, as generate.py wrote it.
        root: The cache on which its generator was trained; --data.root means the same.
        out: Folder for the results. One that holds another audit is refused, never overwritten;
            the same audit is computed again.
        split: Splits of the held-out patients. Patients whom the generator knew are left out.
        num_images: Largest number of synthetic images, evenly spread; None: all.
        num_held_out: Largest number of held-out images, evenly spread; at least 30 patients are
            needed.
        num_planted: Number of planted copies of each disguise, 20 or more.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        seed: Seed of the embeddings, the planted copies, the halves and the permutations.
        show_progress: Progress bars with the time left.
        require: Rules for the numbers, such as "copies<=0.01". If a number has a confidence
            interval, its unfavourable end is used. Exit status 0: all rules hold; 3: one does not;
            4: one cannot be decided, for example with too few images. The audit is written in any
            case.
        extractor: A further feature extractor for the attacks and the scores of the whole set:
            "random_vgg" (no download), or with --weights "inception" or "timm:<model>". Copies are
            always searched for with the audit's own embeddings.
        weights: File with the extractor's weights.
        control_set: A synthetic set of a generator that is known to copy images of this cache, such
            as one that was trained on fifty of them for too long. The audit reports how many of its
            images are found.
        notes: Sentences for the reader, such as that plain folders were compared.

    Returns:
        The content of audit.json.

    Raises:
        UserError: Wrong input, or too few patients to say anything; the sentence says which and
            what to do.
    """
    import torch

    from audit.distances.measure import by_distance
    from audit.figures import figures_of
    from audit.images import audited_sets
    from audit.left_out import after_leaving_out
    from audit.measure import measured
    from audit.report import PAGE, STAYS, SUMMARY, write_report
    from audit.verdict import headline, kind_of, sentences, succeeded
    from datamodules.open_cache import open_cache
    from datamodules.synthetic import SyntheticSet
    from gates.judge import judged
    from metrics.features import build_extractor

    started = time.perf_counter()
    check_settings(num_images, num_held_out, num_planted, extractor, weights, require, out)
    rules = parse_rules(require, OF_AUDITS)
    network = None if extractor is None else build_extractor(extractor, weights)
    out, chosen = Path(out), chosen_device(device)
    fakes, cache = SyntheticSet.open(synthetic), open_cache(Path(root))
    copying = None if control_set is None else SyntheticSet.open(control_set)
    identity = {
        "task": "audit",
        "synthetic_sha256": fakes.content_sha256,
        "real_sha256": cache.content_sha256,
        "split": split,
        "split_id": cache.split_id,
        "num_images": num_images,
        "num_held_out": num_held_out,
        "num_planted": num_planted,
        "seed": seed,
        "extractor": network and network.description,
        "control_set_sha256": copying and copying.content_sha256,
    }
    check_folder(out, RESULT, identity, "audit", [PAGE, SUMMARY, STAYS])
    sets = audited_sets(fakes, cache, split, num_images, num_held_out, show_progress, copying)
    sets.notes[:0] = notes
    _refuse_too_few(sets, fakes.root, cache.root, cache.split_by)
    found = measured(sets, cache.root, num_planted, chosen, seed, show_progress, network)
    words = ["--synthetic", synthetic, "--data.root", root, "--out", out, "--split", split]
    words += ["--num-images", num_images] if num_images is not None else []
    words += ["--num-held-out", num_held_out, "--num-planted", num_planted, "--seed", seed]
    words += ["--require", require] if require is not None else []
    words += ["--extractor", extractor] if extractor is not None else []
    words += ["--weights", weights] if weights is not None else []
    words += ["--control-set", control_set] if control_set is not None else []
    command = shlex.join(["python", "evaluate.py", "audit", *map(str, words)])
    result = {
        **identity,
        "dataset": cache.dataset,
        "generator_images_seen": fakes.images_seen,
        "image_size": sets.synthetic.pixels.shape[-1],
        **found.plain(),
        "by_distance": by_distance(found.spaces, sets, seed, show_progress),
        "notes": sets.notes,
        "obligations": obligations(fakes.licences),
        "device": str(chosen) if chosen.type == "cpu" else torch.cuda.get_device_name(chosen),
        "versions": library_versions(),
        "command": command_for_others(command),
        "seconds": round(time.perf_counter() - started, 1),
    }
    bounds, told = after_leaving_out(result, fakes.manifest)
    result |= bounds
    result["notes"] = [*sets.notes, *told]
    result["attacks_succeeded"] = succeeded(result)
    result |= {"verdict": kind_of(result), "sentences": [headline(result), *sentences(result)]}
    if rules:
        result["require"] = judged(rules, figures_of(result))
    if show_progress:
        print("pictures and pages ...", file=sys.stderr)
    write_report(out, result, found, command)
    write_json_atomic(out / RESULT, result)
    return result


def check_settings(
    num_images: int | None = None,
    num_held_out: int = FEWEST_HELD_OUT,
    num_planted: int = FEWEST_PLANTED,
    extractor: str | None = None,
    weights: Path | None = None,
    require: str | None = None,
    out: Path | None = None,
) -> None:
    """Refuse what no audit can be made with, before any image is read; settings as of `audit`.

    Raises:
        UserError: Names the flag.
    """
    if num_images is not None and num_images < 1:
        raise UserError(f"--num-images is {num_images}; it must be 1 or more.")
    if num_held_out < FEWEST_HELD_OUT:
        raise UserError(
            f"--num-held-out is {num_held_out}; an audit needs images of {FEWEST_HELD_OUT} "
            "held-out patients, so it must be that or more."
        )
    if num_planted < FEWEST_PLANTED:
        raise UserError(
            f"--num-planted {num_planted}: expected {FEWEST_PLANTED} or more, since the share of "
            "copies that is found cannot be estimated from fewer."
        )
    if weights is not None and extractor in (None, "random_vgg"):
        raise UserError(
            "--weights: needs --extractor inception or timm:<model>; "
            + ("random_vgg uses no weights file." if extractor else "none was given.")
        )
    parse_rules(require, OF_AUDITS)
    if out is not None:
        refuse_taken(Path(out), "audit", "what an audit shows of patients may not travel with it")


def _refuse_too_few(sets: "AuditedSets", synthetic: Path, root: Path, split_by: str) -> None:
    """Raise where the audit could not say anything."""
    if not len(sets.synthetic):
        raise UserError(f"{synthetic}: holds no image, so there is nothing to audit.")
    for images, what, least, why in (
        (
            sets.training,
            "that the generator has seen",
            FEWEST_TRAINING,
            "A copy is recognised by comparison with other patients",
        ),
        (
            sets.held_out,
            "that the generator has not seen",
            FEWEST_HELD_OUT,
            "They show how similar to a training image an image is by chance",
        ),
    ):
        if images.num_patients < least:
            by = (
                ""
                if split_by == "patient"
                else f" This cache is split by {split_by}, so most held-out images belong to "
                "training patients and were left out: prepare it split by patient."
            )
            raise UserError(
                f"{root}: has images of {images.num_patients} patients {what}; an audit needs "
                f"{least}. {why}; with fewer there is no answer. Give a cache or a --split with "
                f"more.{by}"
            )
