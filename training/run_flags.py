"""The flags of a run, beyond those of its module, its datamodule and its trainer."""

from lightning.pytorch.cli import LightningArgumentParser

from callbacks.distance_per_epoch import DistancePerEpoch
from training.failures import OnFailure
from wandb_runs.environment import WandbMode


def add_run_flags(parser: LightningArgumentParser) -> None:
    """Where a run writes, what it keeps, shows and logs, and what happens when it fails.

    `make flags` after a change: train.py answers from what it writes.
    """
    parser.add_argument(
        "--run_folder",
        type=str | None,
        default=None,
        help="Folder of this run. Default: runs/<config name>/<date and time>. A folder that "
        "holds a run already is refused unless --resume true.",
    )
    parser.add_argument(
        "--resume",
        type=bool,
        nargs="?",
        const=True,
        default=False,
        help="Continue the run in --run_folder from its last checkpoint, or from best.ckpt if "
        "there is no last.ckpt; start it if there is neither. The result is that of an "
        "uninterrupted run. The data must be the same; their folder may have moved.",
    )
    parser.add_argument(
        "--checkpoint_every_steps",
        type=int | None,
        default=None,
        help="Save a checkpoint to resume from after this many training steps, besides the one "
        "after every epoch.",
    )
    parser.add_argument(
        "--keep_every_images",
        type=int | None,
        default=None,
        help="Keep a snapshot (checkpoints/images_00012000.ckpt and so on) each time this "
        "number of further images has been seen. Each is a complete checkpoint like last.ckpt.",
    )
    parser.add_argument(
        "--keep_at_most",
        type=int | None,
        default=None,
        help="Largest number of these snapshots; the oldest is removed when another is "
        "written. Default: all.",
    )
    parser.add_argument(
        "--samples_every_epochs",
        type=int,
        default=1,
        help="Number of epochs between two sheets of sample images; 0 makes none.",
    )
    parser.add_argument(
        "--expect_memory",
        type=bool,
        nargs="?",
        const=True,
        default=False,
        help="Before the first step, estimate how much GPU memory a step will need. Takes a "
        "few seconds and needs no GPU.",
    )
    parser.add_class_arguments(DistancePerEpoch, "distance")
    parser.add_argument(
        "--on_failure",
        type=OnFailure,
        default="stop",
        help="When training diverges or a generator collapses: stop; or roll_back to the best "
        "checkpoint, up to 3 times, with half the learning rate and other noise.",
    )
    parser.add_argument(
        "--wandb",
        type=WandbMode,
        default="auto",
        help="Weights & Biases logging. auto: online if a key is set up, else offline into the "
        "run folder. Or online, offline, disabled. It never asks for a key. Without a network "
        "a run is logged offline.",
    )
