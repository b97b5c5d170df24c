"""Score a trained model, compare synthetic with real images, or look for copies.

    python evaluate.py --checkpoint runs/.../checkpoints/best.ckpt --out DIR
    python evaluate.py --checkpoint runs/.../checkpoints/best.ckpt --corruptions all --out DIR
    python evaluate.py images --real CACHE --synthetic DIR --out DIR
    python evaluate.py audit --data.root CACHE --synthetic DIR --out DIR
    python evaluate.py lesions --checkpoint runs/.../checkpoints/best.ckpt --synthetic DIR --out DIR
    python evaluate.py survival --synthetic DIR --source CACHE --checkpoint FILE --out DIR
    python evaluate.py labels --synthetic DIR --root CACHE --checkpoint FILE --out DIR
    python evaluate.py images --real FOLDER --synthetic FOLDER --out DIR
    python evaluate.py gate DIR ... --require "copies<=0.01"

The first gives, for a segmenter, IoU per image, Dice and HD95 per patient; for a classifier AUROC,
thresholds, calibration, Grad-CAM and a page that shows them, for one of several findings the AUROC
of each and their mean; all with 95 % intervals over patients.
With --corruptions it gives these models' scores on corrupted images instead. The second gives
distances with their floors, for films and slices alike, and a card with all that is needed to
compute them again. Both leave evaluation.json and pictures. The third asks whether the set copies
its training images, and what share of copies it would have seen; it leaves audit.json, a page, and
pictures that stay with the data. Both take two plain folders of images too. The fourth asks whether
a segmenter finds the lesions that were painted into slices, the fifth whether a frozen model finds
the labels of images after their translation. The last judges finished evaluations by other rules.

Each takes --require with rules for its numbers: exit status 0 where all hold, 3 where one does not,
4 where one cannot be said.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

from audit.command import audit, check_settings
from command_line import description_of, parsed, run_verb, verb_parser, with_underscores
from command_line.sentences import no_such_subcommand
from evaluation.command import evaluate
from evaluation.images.evaluate import evaluate_images
from evaluation.label_record import Asking
from evaluation.labels import evaluate_labels
from evaluation.survival import evaluate_survival
from preparation.synthetic.plain_folders import PlainFolders, prepared_folders
from provenance import UserError, sha256_of

__all__ = [
    "audit", "audit_and_record", "evaluate", "evaluate_images", "evaluate_labels",
    "evaluate_survival", "labels_and_record", "main",
]  # fmt: skip

_RECORDED = ("images", "survival", "labels", "audit")  # in the card of a set
_SUBCOMMANDS = ("images", "lesions", "survival", "labels", "audit", "gate")
_ALIASES = {"--data.root": "--root", "--real": "--root", "--inception_weights": "--weights"}
_RECORD = (
    'Write the answer into the set\'s card and manifest, which say "not audited" or "not measured" '
    "without it. The images stay as they are."
)
_DROP = (
    "Folder of a new set: the audited set without the images above the threshold. Its card states "
    "how many were left out. The old set stays. The new set is not audited: audit it too."
)
_GATE = (
    "Check finished evaluations and audits against rules; nothing is computed again or changed. "
    "For several audits, such as those of one generator's checkpoints, a table comes first."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    kind = given[0] if given and given[0] in _SUBCOMMANDS else ""
    if kind == "lesions":
        return _lesions(given[1:])
    if given and not kind and not given[0].startswith("-"):
        raise UserError(no_such_subcommand(given[0], [*_SUBCOMMANDS]))
    if kind == "gate":
        return _gate(given[1:])
    function, description = _KINDS[kind]
    parser = verb_parser(f"evaluate.py {kind}".strip(), description)
    parser.add_function_arguments(
        function, as_group=False, skip={"show_progress", "notes", "asking"}
    )
    asks = kind in ("survival", "labels")
    if asks:
        parser.add_class_arguments(Asking, as_group=False, skip={"show_progress"})
    compares = kind in ("images", "audit")
    if compares:
        parser.add_class_arguments(PlainFolders, as_group=False)
    if kind in _RECORDED:
        parser.add_argument(
            "--record", type=bool, nargs="?", const=True, default=False, help=_RECORD
        )
    if kind == "audit":
        parser.add_argument("--drop_copies", type=Path | None, default=None, help=_DROP)
    flags = _one_name(with_underscores(given[int(bool(kind)) :]))
    settings = parsed(parser, flags, aliases=_ALIASES if compares else ("--data.root",))
    settings.pop("config")
    chosen = vars(settings)
    if kind == "audit":  # before plain folders are prepared, which takes its time
        given_settings = signature(check_settings).parameters
        check_settings(**{name: chosen[name] for name in given_settings})
    if compares:
        own = [one.name for one in fields(PlainFolders)]
        folders = PlainFolders(**{name: chosen.pop(name) for name in own})
        chosen |= prepared_folders(kind, chosen, folders)
    if kind == "audit":
        return _audit(**chosen)
    if asks:
        own = [one.name for one in fields(Asking) if one.name in chosen]
        chosen["asking"] = Asking(**{name: chosen.pop(name) for name in own})
    record = kind in _RECORDED and chosen.pop("record")
    result = function(**chosen)
    if record:
        _record_evaluation(kind, chosen["synthetic"], chosen["out"])
    return _told(result, settings.out)


def _told(result: dict[str, Any], out: Path, warning: str = "") -> int:
    """Print what was found and where it lies; the exit status that the rules make."""
    from evaluation.printed_lines import lines_of  # after the call: it imports what scores images
    from gates.judge import exit_status, printed_lines

    lines, files = lines_of(result)
    print("\n".join(lines))
    print(f"Results: {out} ({files}{warning})")
    required = result.get("require", [])
    print("\n".join(printed_lines(required)), end="\n" if required else "")
    return exit_status(required)


def _lesions(words: Sequence[str]) -> int:
    """Ask a segmenter for painted lesions."""
    from evaluation.lesions import evaluate_lesions

    parser = verb_parser("evaluate.py lesions", description_of(evaluate_lesions))
    parser.add_function_arguments(evaluate_lesions, as_group=False)
    settings = vars(parsed(parser, _one_name(with_underscores(words)), aliases=("--data.root",)))
    settings.pop("config")
    result = evaluate_lesions(**settings)
    return _told(result, settings["out"], "; they show patients")


def audit_and_record(**settings: Any) -> dict[str, Any]:
    """An audit whose answer is written into the set's card and manifest; settings as of `audit`."""
    from audit.record import record_of
    from cards.finish import record_audit

    result = audit(**settings)
    record_audit(settings["synthetic"], record_of(settings["out"]))
    return result


def labels_and_record(**settings: Any) -> dict[str, Any]:
    """A check of labels that is written into the set's card; settings as of `evaluate_labels`."""
    result = evaluate_labels(**settings)
    _record_evaluation("labels", settings["synthetic"], settings["out"])
    return result


def _record_evaluation(kind: str, synthetic: Path, out: Path) -> None:
    """Write a finished comparison, or what survived, into the set's card and manifest."""
    from cards.finish import record_check, record_evaluation
    from evaluation import label_record
    from evaluation.images import record

    if kind in ("survival", "labels"):
        record_check(synthetic, kind, label_record.record_of(out))
    else:
        record_evaluation(synthetic, record.record_of(out))


def _audit(record: bool, drop_copies: Path | None, **settings: Any) -> int:
    from audit.command import RESULT
    from audit.verdict import printed_lines
    from gates.judge import exit_status
    from gates.judge import printed_lines as printed_rules

    if drop_copies is not None:
        from generation.without_copies import check_new_set, left_out_and_told

        check_new_set(drop_copies)
        if settings["num_images"] is not None:
            raise UserError(
                f"--num-images {settings['num_images']}: --drop-copies needs an audit of all "
                "images, since of the others nothing would be known. Leave one of the two out."
            )
    result = (audit_and_record if record else audit)(**settings)
    out = settings["out"]
    print("\n".join(printed_lines(result)))
    print(f"Report: {out} (report.html; shows_patients/ stays with the data)")
    required = result.get("require", [])
    print("\n".join(printed_rules(required)), end="\n" if required else "")
    if drop_copies is not None:
        print(
            left_out_and_told(settings["synthetic"], result, sha256_of(out / RESULT), drop_copies)
        )
    print("\n".join(result["obligations"]))
    return exit_status(required)


def _gate(words: Sequence[str]) -> int:
    """Judge finished evaluations; the worst verdict gives the exit status."""
    from audit.command import RESULT
    from audit.figures import figures_of as of_audit
    from audit.record import read_audit
    from audit.table import table_of_audits
    from display.tables import markdown
    from evaluation.figures import figures_of
    from evaluation.folder import RESULT as EVALUATION
    from evaluation.folder import read_evaluation
    from gates.finished import whole
    from gates.judge import exit_status, judged, printed_lines
    from gates.names import OF_ANY
    from gates.rules import parse_rules

    parser = verb_parser("evaluate.py gate", _GATE)
    parser.add_argument(
        "folders", type=Path, nargs="+", help="Folders of finished evaluations or audits."
    )
    parser.add_argument(
        "--require",
        type=str | None,
        default=None,
        help='Rules for the numbers, such as "copies<=0.01". None: list the names.',
    )
    given = parsed(parser, with_underscores(words))
    rules = parse_rules(given.require, OF_ANY)
    for at in given.folders:
        if at.is_dir() and not any((at / name).is_file() for name in (EVALUATION, RESULT)):
            raise UserError(
                f"{at}: holds no {EVALUATION} and no {RESULT}, so no evaluation or audit was "
                "finished there. Give the folder that --out of evaluate.py named, or finish it: "
                "give its command again."
            )
    audits = {at: read_audit(at) for at in given.folders if (at / RESULT).is_file()}
    numbers, found = {}, {}
    for at in given.folders:
        with whole(at / (RESULT if at in audits else EVALUATION)):
            if at in audits:
                table_of_audits({str(at): audits[at]})
                numbers[at] = of_audit(audits[at])
            else:
                numbers[at] = figures_of(read_evaluation(at))
            found[at] = judged(rules, numbers[at])
    if audits:
        print(markdown(table_of_audits({str(at): result for at, result in audits.items()})))
    every = []
    for at, rows in found.items():
        every += rows
        if rows:
            print("\n".join([f"{at}:", *(f"  {line}" for line in printed_lines(rows))]))
        else:
            # A line each: names such as "found:contrast 0.7, brighter" hold commas.
            print("\n".join([f"{at}: numbers for --require:", *(f"  {n}" for n in numbers[at])]))
    return exit_status(every)


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
    "survival": (
        evaluate_survival,
        "Ask a frozen classifier or segmenter whether the labels of a translated set survived, "
        "with what it finds in the originals beside it.",
    ),
    "labels": (
        evaluate_labels,
        "Ask a frozen classifier or segmenter for the labels of a synthetic set: how often it "
        "finds them, and how often those of real images that it was not trained on.",
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

    --compare and --corruptions take words up to the next flag; jsonargparse wants them as one list.
    """
    renamed: list[str] = []
    several: list[str] | None = None
    for word in words:
        flag, equals, value = word.partition("=")
        if several is not None and not word.startswith("--"):
            several.append(word)
            renamed[-1] = f"{renamed[-1].partition('=')[0]}={json.dumps(several)}"
            continue
        several = [] if word in ("--compare", "--corruptions") else None
        renamed.append(f"{_ALIASES.get(flag, flag)}{equals}{value}")
    return renamed


if __name__ == "__main__":
    sys.exit(run_verb("evaluate.py", main))
