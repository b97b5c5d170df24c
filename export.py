"""Export a trained model for use by others.

    python export.py onnx --checkpoint runs/unet/checkpoints/best.ckpt --out exported/unet
    python export.py generator --checkpoint runs/gan/checkpoints/best.ckpt --out handed_on/films

`onnx` writes a segmenter, a classifier or a generator as an ONNX file. It contains how images are
prepared and what the outputs mean; an export whose outputs differ from the checkpoint's is refused.
`generator` writes a generator as a folder that generate.py reads, without the discriminator and
without patient names. Not for diagnosis.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from command_line import call, chosen_command, run_verb
from exporting.command import DESCRIPTION, MODEL, generator, onnx
from exporting.preprocessing import NOT_RECORDED
from licences import obligations

COMMANDS: dict[str, Callable[..., Any]] = {"onnx": onnx, "generator": generator}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; UserErrors are left to `run_verb`."""
    name, flags = chosen_command("export.py", __doc__, COMMANDS, arguments)
    told = call(COMMANDS[name], flags)
    if name == "onnx":
        _print_onnx(told, flags.out)
    else:
        print(f"Generator: {flags.out} (README.md says what it is; hand on the whole folder)")
        print(f"To use it: python generate.py --checkpoint {flags.out} --out SET")
        print("\n".join(obligations(told)))
    return 0


def _print_onnx(told: dict[str, Any], out: object) -> None:
    checked = told["checked"]
    figures = ", ".join(f"{k} {v:.2g}" for k, v in checked["largest_difference"].items())
    print(f"{told['task']}: {out} ({MODEL}, {DESCRIPTION}), opset {told['opset']}")
    print(f"Checked by {checked['by']}: {checked['on']}, largest difference {figures}.")
    if (told.get("preprocessing") or {}).get("preparation") == NOT_RECORDED:
        print(
            "note: The checkpoint does not say how its training images were prepared, so "
            f"{DESCRIPTION} says {NOT_RECORDED!r}. Whoever feeds the model must know it: add it "
            "by hand, or train again with this version, which records it."
        )
    print(f"Not for: {'; '.join(told['not_for'])}.")
    print("\n".join(told["obligations"]))


if __name__ == "__main__":
    sys.exit(run_verb("export.py", main))
