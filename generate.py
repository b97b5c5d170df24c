"""Make a synthetic set from a trained generator.

python generate.py --checkpoint runs/pix2pix/checkpoints/best.ckpt --labels data/masks \
    --num-images 1333 --out synthetic/kits19
python generate.py --checkpoint runs/stylegan/checkpoints/best.ckpt --num-images 10000 \
    --truncation 0.7 --seed 1 --out synthetic/films --interpolation synthetic/films.webp
python generate.py --checkpoint runs/normal/checkpoints/best.ckpt \
    runs/abnormal/checkpoints/best.ckpt --balance data/nih --out synthetic/balanced
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence

from command_line import parsed, run_verb, verb_parser, with_underscores
from datamodules.synthetic import SyntheticSet
from display.numbers import count
from foreign_text import printable
from generation.command import generate

__all__ = ["generate", "main"]


def _with_list_of_checkpoints(words: Sequence[str]) -> list[str]:
    """`--checkpoint A B`, as a person types it, in the form that the parser reads as a list."""
    flag = "--checkpoint"
    if flag not in words:
        return list(words)
    start = words.index(flag) + 1
    rest = (index for index in range(start, len(words)) if words[index].startswith("-"))
    end = next(rest, len(words))
    if end - start < 2:
        return list(words)
    return [*words[: start - 1], f"{flag}={json.dumps(words[start:end])}", *words[end:]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = verb_parser("generate.py", __doc__)
    parser.add_function_arguments(generate, as_group=False, skip={"show_progress"})
    settings = parsed(parser, _with_list_of_checkpoints(with_underscores(given)))
    settings.pop("config")
    out = generate(**vars(settings))
    counts = Counter(item.label for item in SyntheticSet.open(out).items)
    classes = ", ".join(
        f"{number} {printable(name)}" for name, number in counts.items() if name is not None
    )
    print(
        f"{count(counts.total(), 'synthetic image')}{f' ({classes})' if classes else ''}: {out} "
        "(see sheet.png)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(run_verb("generate.py", main))
