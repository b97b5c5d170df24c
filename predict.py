"""Predict on new images with a trained model.

    python predict.py --checkpoint runs/.../checkpoints/best.ckpt --source FOLDER --out DIR

A classifier of films gives predictions.csv with the probability of each class, a segmenter of
slices also a label map in the geometry of each image, and overlays. What cannot be predicted is
listed in left_out.csv, and the exit status is then 3. Not for diagnosis.
"""

import sys
from collections.abc import Sequence

from command_line import call, function_parser, parsed, run_verb, with_underscores
from prediction.command import predict
from preparation.left_out import LEFT_OUT_STATUS, left_out_line

__all__ = ["main", "predict"]

_ALIAS = "--data.root"  # as the other verbs call the cache


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    parser = function_parser("predict.py", predict)
    words = with_underscores(sys.argv[1:] if arguments is None else arguments)
    words = [
        word.replace(_ALIAS, "--root", 1) if word.startswith(_ALIAS) else word for word in words
    ]
    outcome = call(predict, parsed(parser, words, aliases=(_ALIAS,)))
    resumed = f", {outcome.num_resumed:,} of them before" if outcome.num_resumed else ""
    print(f"{outcome.num_predicted:,} predicted{resumed}.")
    print("\n".join(outcome.thresholds), end="\n" if outcome.thresholds else "")
    print("\n".join(f"note: {note}" for note in outcome.notes))
    if outcome.num_left_out:
        print(left_out_line(outcome.num_left_out, outcome.out / "left_out.csv"))
    print(f"Predictions: {outcome.out} (predictions.csv, predictions.json, left_out.csv)")
    return LEFT_OUT_STATUS if outcome.num_left_out else 0


if __name__ == "__main__":
    sys.exit(run_verb("predict.py", main))
