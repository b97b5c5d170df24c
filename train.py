"""Train one model: `python train.py fit --config configs/kits19/pix2pix.yaml --data.root DIR`.

`python train.py list` names the configurations that there are.
"""

import logging
import sys
from collections.abc import Sequence

from command_line import call, function_parser, parsed, run_verb, with_underscores
from command_line.sentences import no_subcommand, no_such_subcommand
from provenance import UserError
from training.command import FitResult, fit
from training.configurations import list_configurations
from training.first_look import first_look

__all__ = ["FitResult", "fit", "main"]

SUBCOMMANDS = ("fit", "list")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    given = with_underscores(sys.argv[1:] if arguments is None else arguments)
    if not given:
        raise UserError(no_subcommand(SUBCOMMANDS))
    if given[0] not in SUBCOMMANDS and not given[0].startswith("-"):
        raise UserError(no_such_subcommand(given[0], SUBCOMMANDS))
    if given[0] == "list":
        parser = function_parser("train.py list", list_configurations)
        call(list_configurations, parsed(parser, given[1:]))
        return 0
    if first_look(given):
        return 0
    from lightning_modules.distributed import launched_rank
    from training.foreign_config import refuse_to_show_foreign_classes, showing_flag

    shown_by = showing_flag(given)
    if shown_by is not None:
        refuse_to_show_foreign_classes(given, shown_by)
    logging.raiseExceptions = False  # a log file on a full disk is no reason for tracebacks
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    result = fit(given)
    if launched_rank() == 0:
        told = f"{result.images_seen:,} images seen in {result.seconds:.0f} s."
        if 0 < result.images_before == result.images_seen:
            told = (
                f"This run was finished before, with {result.images_seen:,} images seen; nothing "
                "was trained now. A larger --trainer.max_epochs (or max_time) trains on."
            )
        elif result.images_before:
            told = (
                f"{result.images_seen - result.images_before:,} images seen in "
                f"{result.seconds:.0f} s, {result.images_seen:,} in all."
            )
        print(f"{told} Results: {result.run_folder} (best model: {result.best_checkpoint})")
    return 0


if __name__ == "__main__":
    sys.exit(run_verb("train.py", main))
