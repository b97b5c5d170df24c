r"""Make a synthetic set from a trained generator.

    python generate.py --checkpoint runs/pix2pix/checkpoints/best.ckpt --labels data/masks \
        --num-images 1333 --out synthetic/kits19
    python generate.py --checkpoint runs/stylegan/checkpoints/best.ckpt --num-images 10000 \
        --truncation 0.7 --seed 1 --out synthetic/films --interpolation synthetic/films.webp
    python generate.py --checkpoint runs/normal/checkpoints/best.ckpt \
        runs/abnormal/checkpoints/best.ckpt --balance data/nih --out synthetic/balanced
    python generate.py --checkpoint runs/cyclegan/checkpoints/last.ckpt --source data/phantom_ct \
        --out synthetic/translated

The card of a finished set, or of a generator, is written (again) by

    python generate.py card --checkpoint runs/stylegan/checkpoints/best.ckpt
    python generate.py card --synthetic synthetic/films --licence nih
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.command import check_settings
from command_line import description_of, parsed, run_verb, verb_parser, with_underscores
from datamodules.synthetic import SyntheticSet
from display.numbers import count
from foreign_text import printable
from generation.command import generate
from licences import Licence, obligations
from provenance import UserError, read_json, sha256_of

__all__ = ["generate", "main"]

_AUDIT = (
    "Search the finished set for copies of training images, as evaluate.py audit does, and write "
    "the answer into its card and manifest. Without a value it uses the cache that the generator "
    "was trained on; or give the folder of that cache. Exit status 0: these tests found no copies; "
    "3: images resemble training images, or an attack succeeded; 4: no answer."
)
_AUDIT_OUT = (
    "Folder of the audit, outside of the set: it shows patients. None: runs/audit_<name of the "
    "set>_<its content>."
)
_REQUIRE = (
    'Rules for the audit\'s numbers, such as "copies<=0.01"; exit status 0: all hold; 3: one does '
    "not; 4: one cannot be decided. The set is written in any case."
)
_NUM_PLANTED = (
    "Copies of each disguise in the audit, 20 or more. None: as many as evaluate.py audit."
)
_NUM_HELD_OUT = (
    "Largest number of held-out images in the audit; at least 30 patients are needed. None: as "
    "many as evaluate.py audit."
)

_DROP_COPIES = (
    "Folder of a second set: the audited one without the images above the threshold, counted in "
    "its card. The whole set stays. The second one is not audited: evaluate.py audit does it."
)


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
    if given and given[0] == "card":
        return _card(given[1:])
    parser = verb_parser("generate.py", __doc__)
    parser.add_function_arguments(generate, as_group=False, skip={"show_progress"})
    parser.add_argument("--audit", type=str | None, nargs="?", const="", default=None, help=_AUDIT)
    parser.add_argument("--audit_out", type=Path | None, default=None, help=_AUDIT_OUT)
    parser.add_argument("--require", type=str | None, default=None, help=_REQUIRE)
    parser.add_argument("--num_planted", type=int | None, default=None, help=_NUM_PLANTED)
    parser.add_argument("--num_held_out", type=int | None, default=None, help=_NUM_HELD_OUT)
    parser.add_argument("--drop_copies", type=Path | None, default=None, help=_DROP_COPIES)
    settings = vars(parsed(parser, _with_list_of_checkpoints(with_underscores(given))))
    settings.pop("config")
    wanted, audit_out = settings.pop("audit"), settings.pop("audit_out")
    flags = ("require", "num_planted", "num_held_out")
    of_audit = {flag: settings.pop(flag) for flag in flags}
    of_audit = {flag: value for flag, value in of_audit.items() if value is not None}
    drop = settings.pop("drop_copies")
    for flag, value in [("audit_out", audit_out), ("drop_copies", drop), *of_audit.items()]:
        if value is not None and wanted is None:
            raise UserError(
                f"--{flag.replace('_', '-')} {value}: is about the audit. Add --audit, or leave it "
                "out."
            )
    check_settings(**of_audit, out=audit_out)  # before the images are made
    if drop is not None:
        from generation.without_copies import check_new_set

        check_new_set(drop)
        if settings["out"] is not None and drop.resolve() == settings["out"].resolve():
            raise UserError(f"--drop-copies {drop}: is the folder of the whole set. Give another.")
    root = None if wanted is None else _cache_to_audit(wanted, settings["checkpoint"])
    out = generate(**settings)
    made = SyntheticSet.open(out)
    counts = Counter(item.label for item in made.items)
    classes = ", ".join(
        f"{number} {printable(name)}" for name, number in counts.items() if name is not None
    )
    print(
        f"{count(counts.total(), 'synthetic image')}{f' ({classes})' if classes else ''}: {out} "
        "(see sheet.png)"
    )
    if root is None:
        print("Not audited for copies of training images; its card says so. To audit: --audit")
        status = 0
    else:
        status = _audit(out, root, audit_out, drop, device=settings["device"], **of_audit)
    print("\n".join(obligations(made.licences)))
    return status


def _write_card(
    synthetic: Path | None = None,
    checkpoint: Path | None = None,
    licence: str | None = None,
    out: Path | None = None,
) -> int:
    """Write the card of a finished synthetic set again, or the card of a generator.

    Args:
        synthetic: A synthetic set, also of an earlier version: README.md and card.json in it.
        checkpoint: Checkpoint of a GAN or Pix2Pix run: README.md and card.json for its recipients.
        licence: Licence of the data behind it, if it is not stated; values as for prepare.py
            --licence. If all licences of a set are stated, it corrects them.
        out: Folder of a generator's card. None: model_card in its run folder.

    Raises:
        UserError: Both or none of the two, or no such set or generator.
    """
    from cards.finish import write_card_anew
    from generation.model_card import write_model_card

    stated = None if licence is None else Licence.of_text(licence)
    if (synthetic is None) == (checkpoint is None):
        raise UserError("generate.py card: give either --synthetic SET or --checkpoint FILE.")
    if synthetic is not None:
        if out is not None:
            raise UserError(f"--out {out}: a set's card lies in the set. Leave it out.")
        told, folder = write_card_anew(synthetic, stated), synthetic
    else:
        assert checkpoint is not None
        folder, told = write_model_card(checkpoint, out, stated)
    print(f"Card: {folder} (README.md, card.json)")
    print("\n".join(obligations(told)))
    return 0


def _card(words: Sequence[str]) -> int:
    parser = verb_parser("generate.py card", description_of(_write_card))
    parser.add_function_arguments(_write_card, as_group=False)
    settings = vars(parsed(parser, with_underscores(words)))
    settings.pop("config")
    return _write_card(**settings)


def _cache_to_audit(wanted: str, checkpoint: Path | list[Path]) -> Path:
    """The cache that was named, or the one that the first generator was trained on."""
    from datamodules.open_cache import open_cache
    from lightning_modules.loading import data_root, load_module

    if wanted:
        return open_cache(Path(wanted)).root
    first = Path(checkpoint[0] if isinstance(checkpoint, list) else checkpoint)
    _, record = load_module(first)
    return open_cache(data_root(first, record, "--audit")).root


def _audit(
    out: Path, root: Path, audit_out: Path | None, drop: Path | None, **settings: Any
) -> int:
    """Audit a finished set, and write the answer into its card and manifest."""
    from audit.command import RESULT
    from audit.verdict import exit_status, printed_lines
    from evaluate import audit_and_record
    from gates.judge import printed_lines as printed_rules

    known_by = SyntheticSet.open(out).content_sha256
    folder = audit_out or Path("runs", f"audit_{out.name}_{known_by[:8]}")
    if (folder / RESULT).is_file() and read_json(folder / RESULT)["synthetic_sha256"] != known_by:
        raise UserError(
            f"--audit-out {folder}: holds the audit of another set. Nothing was changed; the set "
            f"in {out} is finished, and not audited. Give the same command with another folder."
        )
    result = audit_and_record(synthetic=out, root=root, out=folder, **settings)
    print("\n".join(printed_lines(result)))
    print(f"Audit: {folder} (report.html; shows_patients/ stays with the data)")
    required = result.get("require", [])
    print("\n".join(printed_rules(required)), end="\n" if required else "")
    if drop is not None:
        from generation.without_copies import left_out_and_told

        print(left_out_and_told(out, result, sha256_of(folder / RESULT), drop))
    return exit_status(result)


if __name__ == "__main__":
    sys.exit(run_verb("generate.py", main))
