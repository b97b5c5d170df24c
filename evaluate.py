"""Score a segmenter or a classifier, or compare synthetic with real images.

    python evaluate.py --checkpoint runs/.../checkpoints/best.ckpt --out DIR
    python evaluate.py images --real CACHE --synthetic DIR --out DIR

The first gives, for a segmenter, IoU per image, Dice and HD95 per patient; for a classifier AUROC,
thresholds, calibration, Grad-CAM and a page that shows them; all with 95 % intervals over patients.
The second gives distances with their floors, for films and slices alike, and a card with all that
is needed to compute them again. Both leave evaluation.json and pictures.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from command_line import parsed, run_verb, verb_parser, with_underscores
from command_line.sentences import no_such_subcommand
from evaluation.command import evaluate
from evaluation.images.evaluate import evaluate_images
from provenance import UserError

__all__ = ["evaluate", "evaluate_images", "main"]

_ALIASES = {"--data.root": "--root", "--real": "--root", "--inception_weights": "--weights"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    images = given[:1] == ["images"]
    if given and not images and not given[0].startswith("-"):
        raise UserError(no_such_subcommand(given[0], ["images"]))
    function: Any = evaluate_images if images else evaluate
    parser = verb_parser("evaluate.py images" if images else "evaluate.py", _description(images))
    parser.add_function_arguments(function, as_group=False, skip={"show_progress"})
    flags = _one_name(with_underscores(given[int(images) :]))
    settings = parsed(parser, flags, aliases=_ALIASES if images else ("--data.root",))
    settings.pop("config")
    result = function(**vars(settings))
    from evaluation.printed_lines import lines_of  # after the call: it imports what scores images

    lines, files = lines_of(result)
    print("\n".join(lines))
    print(f"Scores and pictures: {settings.out} ({files})")
    return 0


def _description(images: bool) -> str:
    if images:
        return (
            "Compare a synthetic set with the real images of a cache, films or slices: distances "
            "of the two sets (FID with --extractor inception), precision and recall, diversity, "
            "and scores of the pairs that share a label map."
        )
    return (
        "Score a segmenter's or a classifier's checkpoint on one split of a cache. "
        "To compare synthetic with real images instead: evaluate.py images --help."
    )


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
