"""Score a segmenter or a classifier, compare synthetic with real images, or look for copies.

    python evaluate.py --checkpoint runs/.../checkpoints/best.ckpt --out DIR
    python evaluate.py images --real CACHE --synthetic DIR --out DIR
    python evaluate.py audit --data.root CACHE --synthetic DIR --out DIR

The first gives, for a segmenter, IoU per image, Dice and HD95 per patient; for a classifier AUROC,
thresholds, calibration, Grad-CAM and a page that shows them; all with 95 % intervals over patients.
The second gives distances with their floors, for films and slices alike, and a card with all that
is needed to compute them again. Both leave evaluation.json and pictures. The third asks whether the
set copies its training images, and what share of copies it would have seen; it leaves audit.json, a
page, and pictures that stay with the data.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from audit.command import audit
from command_line import parsed, run_verb, verb_parser, with_underscores
from command_line.sentences import no_such_subcommand
from evaluation.command import evaluate
from evaluation.images.evaluate import evaluate_images
from provenance import UserError

__all__ = ["audit", "evaluate", "evaluate_images", "main"]

_ALIASES = {"--data.root": "--root", "--real": "--root", "--inception_weights": "--weights"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    kind = given[0] if given and given[0] in ("images", "audit") else ""
    if given and not kind and not given[0].startswith("-"):
        raise UserError(no_such_subcommand(given[0], ["images", "audit"]))
    function, description = _KINDS[kind]
    parser = verb_parser(f"evaluate.py {kind}".strip(), description)
    parser.add_function_arguments(function, as_group=False, skip={"show_progress"})
    flags = _one_name(with_underscores(given[int(bool(kind)) :]))
    settings = parsed(parser, flags, aliases=_ALIASES if kind else ("--data.root",))
    settings.pop("config")
    result = function(**vars(settings))
    if kind == "audit":
        from audit.verdict import printed_lines

        print("\n".join(printed_lines(result)))
        print(f"Report: {settings.out} (report.html; shows_patients/ stays with the data)")
        return 0
    from evaluation.printed_lines import lines_of  # after the call: it imports what scores images

    lines, files = lines_of(result)
    print("\n".join(lines))
    print(f"Scores and pictures: {settings.out} ({files})")
    return 0


_KINDS: dict[str, tuple[Callable[..., dict[str, Any]], str]] = {
    "": (
        evaluate,
        "Score a segmenter's or a classifier's checkpoint on one split of a cache. To compare "
        "synthetic with real images instead: evaluate.py images --help. To look for copies of "
        "training images: evaluate.py audit --help.",
    ),
    "images": (
        evaluate_images,
        "Compare a synthetic set with the real images of a cache, films or slices: distances "
        "of the two sets (FID with --extractor inception), precision and recall, diversity, "
        "and scores of the pairs that share a label map.",
    ),
    "audit": (
        audit,
        "Look for copies of training images in a synthetic set, with the cache that its generator "
        "was trained on: how many images resemble one more than held-out patients' images do, and "
        "what share of copies would have been seen.",
    ),
}


def _one_name(words: Sequence[str]) -> list[str]:
    """Flags under the one name that the functions know: --real and --data.root mean --root.

    --compare takes folders up to the next flag, which jsonargparse wants as one list.
    """
    renamed: list[str] = []
    folders: list[str] | None = None
    for word in words:
        flag, equals, value = word.partition("=")
        if folders is not None and not word.startswith("--"):
            folders.append(word)
            renamed[-1] = f"--compare={json.dumps(folders)}"
            continue
        folders = [] if word == "--compare" else None
        renamed.append(f"{_ALIASES.get(flag, flag)}{equals}{value}")
    return renamed


if __name__ == "__main__":
    sys.exit(run_verb("evaluate.py", main))
