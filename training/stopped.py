"""A training that was stopped, or could not write: how to go on with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.utilities.exceptions import SIGTERMException

from command_line import Stopped
from provenance import UserError
from training.run_folder import checkpoint_folder


@contextmanager
def told_how_to_go_on(run_folder: Path) -> Iterator[None]:
    """Around a training: what ended it, as a sentence.

    Raises:
        Stopped: After Ctrl-C or SIGTERM.
        UserError: The run folder cannot be written.
    """
    try:
        yield
    except SystemExit as error:  # after Ctrl-C and SIGTERM, with status 1 or even 0
        has_checkpoint = (checkpoint_folder(run_folder) / "last.ckpt").exists()
        kept = "keeps its last checkpoint" if has_checkpoint else "has no checkpoint yet"
        raise Stopped(
            f"stopped. {run_folder} {kept}; go on with the same command and "
            f"--run_folder {run_folder} --resume true.",
            143 if isinstance(error, SIGTERMException) else 130,
        ) from error
    except OSError as error:
        file = f" ({error.filename})" if error.filename else ""
        raise UserError(
            f"--run_folder {run_folder}: cannot be written{file}: {error.strerror or error}. "
            "What is whole is kept; make room, then go on with the same command and "
            f"--run_folder {run_folder} --resume true."
        ) from error
