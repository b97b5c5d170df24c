"""Weights & Biases, without prompts, without a network unless asked, without identifying anyone."""

import contextlib
import netrc
import os
import sys
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger

from lightning_modules.distributed import launched_rank

WandbMode = Literal["auto", "online", "offline", "disabled"]


def resolve_mode(mode: WandbMode) -> str:
    """Turn "auto" into what the environment asks for: WANDB_MODE, else online with a key.

    Returns:
        "online", "offline" or "disabled".
    """
    if mode != "auto":
        return mode
    stated = os.environ.get("WANDB_MODE", "")
    stated = {"dryrun": "offline", "run": "online"}.get(stated, stated)
    if stated in ("online", "offline", "disabled"):
        return stated
    return "online" if os.environ.get("WANDB_API_KEY") or _netrc_has_key() else "offline"


def _netrc_has_key() -> bool:
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def wandb_logger(run_folder: Path, mode: WandbMode, settings: dict[str, Any]) -> list[Logger]:
    """Make the logger of a run, in `run_folder/wandb`; an empty list when disabled.

    Neither source code, git remote, host name, command line nor console output is sent: paths and
    terminal lines of a hospital may hold names. An outage delays a start by 15 seconds, no more.

    Args:
        run_folder: Its last two parts name the run; of an absolute path only the last.
        mode: See `resolve_mode`.
        settings: Plain values without paths, shown as the run's configuration.
    """
    resolved = resolve_mode(mode)
    if resolved == "disabled":
        return []
    if launched_rank() != 0:  # only rank 0 logs; the others need not start the service
        return []
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    run_folder.mkdir(parents=True, exist_ok=True)
    # Begun here: the logger itself would warn of a setting of its own, and set WANDB_MODE.
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "understudy"),
        name=run_folder.name if run_folder.is_absolute() else "/".join(run_folder.parts[-2:]),
        dir=str(run_folder),
        mode="offline" if resolved == "offline" else "online",
        config=settings,
        settings=wandb.Settings(
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            host="undisclosed",
            init_timeout=15,
            silent=True,
        ),
    )
    run.define_metric("*", step_metric="images_seen")
    return [WandbLogger(experiment=run)]


def finish_wandb() -> None:
    """Flush and close the current run, so that the next training of this process has its own."""
    if "wandb" in sys.modules:
        import wandb

        with contextlib.suppress(OSError):  # its own log file on a full disk hides what happened
            wandb.finish()
