"""Weights & Biases, without prompts, without a network unless asked, without identifying anyone."""

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
    stated = os.environ.get("WANDB_MODE")
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
        run_folder: Its last two parts name the run.
        mode: See `resolve_mode`.
        settings: Plain values, shown as the run's configuration.
    """
    resolved = resolve_mode(mode)
    if resolved == "disabled":
        return []
    if launched_rank() != 0:  # only rank 0 logs; the others need not start the service
        return []
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    logger = WandbLogger(
        project=os.environ.get("WANDB_PROJECT", "understudy"),
        name="/".join(run_folder.parts[-2:]),
        save_dir=str(run_folder),
        offline=resolved == "offline",
        config=_without_paths(settings),
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
    logger.experiment.define_metric("*", step_metric="images_seen")
    return [logger]


def finish_wandb() -> None:
    """Flush and close the current run, so that the next training of this process has its own."""
    if "wandb" in sys.modules:
        import wandb

        wandb.finish()


def _without_paths(node: Any) -> Any:
    """Replace absolute paths by their last part: the rest may name a person or a ward."""
    if isinstance(node, dict):
        return {key: _without_paths(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_without_paths(value) for value in node]
    if isinstance(node, str) and node.startswith(("/", "~", "..")):
        return Path(node).name
    return node
