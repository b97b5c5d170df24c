"""Where a run is logged: what a flag, the WANDB_* variables, the key and the network say."""

import os
import re
import ssl
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, get_args

from provenance import UserError
from spelling import meant

WandbMode = Literal["auto", "online", "offline", "disabled"]

_PROBE_SECONDS = 10.0
# A proxy's address may hold a password.
_SECRET = re.compile("KEY|PROX|TOKEN|HEADERS")
# Of W&B's older versions.
_MODE_NAMES = {"dryrun": "offline", "run": "online"}
# A run has the id that its folder keeps, so it can be no part of another one.
_REFUSED = {
    "WANDB_FORK_FROM": "a run is gone on with under its own id, by --resume true",
    "WANDB_RESUME_FROM": "a run is gone on with under its own id, by --resume true",
}
_WITHOUT_EFFECT = {
    "WANDB_DIR": "what W&B writes lies in the run folder",
    "WANDB_RESUME": "--resume true goes on with a run",
    "WANDB_CONSOLE": "console output is never logged",
    "WANDB_SAVE_CODE": "source code is never logged",
    "WANDB_HOST": "the host's name is never logged",
    "WANDB_DISABLED": "W&B itself does not read it: WANDB_MODE=disabled",
}


@dataclass(frozen=True)
class Destination:
    """Where a run is logged.

    Attributes:
        mode: "online", "offline" or "disabled".
        why: What decided it, in words.
    """

    mode: str
    why: str

    def __str__(self) -> str:
        """For a line: `offline (there is no key)`."""
        return f"{self.mode} ({self.why})"


NOT_LOGGED = Destination("disabled", "nothing is to be logged")


def resolve(asked: WandbMode) -> Destination:
    """Turn --wandb and the environment into a destination; says which variables have no effect.

    "auto" is WANDB_MODE, else what `wandb offline` or `wandb online` set in this folder, else
    online with a key. Without a network "online" is offline too, after 10 seconds at most.

    Raises:
        UserError: A WANDB_* variable that W&B would stop at, or "online" was asked for and there
            is no key.
    """
    if asked == "disabled":
        return Destination("disabled", "--wandb disabled")
    refuse_invalid_variables()
    note_variables_without_effect()
    stated = os.environ.get("WANDB_MODE", "")
    mode: str = asked
    why = f"--wandb {asked}"
    if asked == "auto" and stated:
        mode, why = _MODE_NAMES.get(stated, stated), f"WANDB_MODE={stated}"
    elif asked == "auto":
        mode = _saved_mode()
        why = f"set by `wandb {mode}`"
    if mode in ("offline", "disabled"):
        return Destination(mode, why)
    url = _server()
    if not _has_key(url):
        if asked == "online" or stated:
            raise UserError(
                f"{why}: there is no key for {url}. Nothing was begun. Set WANDB_API_KEY or run "
                "`wandb login`; or log offline: --wandb offline."
            )
        return Destination("offline", "there is no key")
    problem = _unreachable(url)
    if problem:
        return Destination("offline", f"{url} cannot be reached: {problem}")
    return Destination("online", why if asked == "online" or stated else "there is a key")


def library() -> ModuleType:
    """The library, told to send no reports of its own failures: their traces name folders.

    Empty variables count as not set, where it would take the empty text for a value.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")  # its own lines beside ours
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        if not os.environ[name].strip():
            del os.environ[name]
    import wandb

    return wandb


def refuse_invalid_variables() -> None:
    """Refuse what W&B would stop at with a traceback, by the variable's name.

    Raises:
        UserError: Names the variable, what was expected, and of a key not the value.
    """
    wandb = library()
    from wandb.sdk.lib.wbauth import check_api_key

    modes = [*get_args(WandbMode)[1:], *_MODE_NAMES]
    stated = os.environ.get("WANDB_MODE")
    if stated is not None and stated not in modes:
        near = meant(stated.lower(), modes)
        raise UserError(
            f"WANDB_MODE={stated}: expected {', '.join(modes[:2])} or {modes[2]}.{near} Nothing "
            "was begun."
        )
    problem = check_api_key(os.environ.get("WANDB_API_KEY", "x" * 40))
    if problem:
        raise UserError(f"WANDB_API_KEY: {problem} Nothing was begun. Correct or unset it.")
    settings = wandb.Settings()
    for name in sorted(name for name in os.environ if name.startswith("WANDB_")):
        if name in _REFUSED:
            raise UserError(f"{name}: is not supported; {_REFUSED[name]}. Unset it.")
        try:
            settings.update_from_env_vars({name: os.environ[name]})
        except (ValueError, TypeError, wandb.errors.UsageError) as error:
            shown = name if _SECRET.search(name) else f"{name}={os.environ[name]}"
            raise UserError(
                f"{shown}: {_reason(error)}. Nothing was begun. Correct or unset it."
            ) from error


def _reason(error: Exception) -> str:
    """What a validation found, without pydantic's frame around it."""
    errors = getattr(error, "errors", None)
    text = errors()[0]["msg"] if callable(errors) else str(error)
    return str(text).removeprefix("Value error, ").rstrip(".")


def note_variables_without_effect() -> None:
    """One line for each variable that is set for nothing, or misspelt."""
    wandb = library()
    known = {name for name in vars(wandb.env).values() if str(name).startswith("WANDB_")}
    for field in wandb.Settings.model_fields:
        known |= {f"WANDB_{field.upper()}", f"WANDB_{field.removeprefix('x').upper()}"}
    for name in sorted(name for name in os.environ if name.startswith("WANDB_")):
        if name in _WITHOUT_EFFECT:
            print(f"{name} has no effect: {_WITHOUT_EFFECT[name]}.", file=sys.stderr)
        elif name not in known and not name.startswith("WANDB_SERVICE"):
            near = meant(name, sorted(known))
            print(f"{name} has no effect: W&B has no such variable.{near}", file=sys.stderr)


def _saved() -> dict[str, str]:
    """What `wandb offline`, `wandb login --host` and their like keep for this folder or person."""
    library()
    from wandb.sdk import wandb_setup

    return wandb_setup.singleton().settings.read_system_settings().all()


def _saved_mode() -> str:
    mode = _saved().get("mode", "online")
    return _MODE_NAMES.get(mode, mode)


def _server() -> str:
    """W&B's address: WANDB_BASE_URL, else that of W&B's settings, else its own."""
    kept = os.environ.get("WANDB_BASE_URL") or _saved().get("base_url")
    return kept or str(library().Settings().base_url)


def _has_key(url: str) -> bool:
    """Whether W&B would log in there without asking.

    Raises:
        UserError: The key that `wandb login` kept is none.
    """
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    wandb = library()
    from wandb.sdk.lib.wbauth import read_netrc_auth

    try:
        return read_netrc_auth(host=url) is not None
    except wandb.errors.AuthenticationError as error:
        raise UserError(f"~/.netrc: its key for {url} is none. Run `wandb login`.") from error


def _unreachable(url: str) -> str:
    """Why no server answers there; empty if one does, whatever it says.

    W&B would look for it as long as its time-out, also where no name is found. Looked up in a
    thread, since the search for a name has no time-out. Behind a proxy of W&B's own nothing is
    tried: W&B finds out.
    """
    if os.environ.get("WANDB_HTTP_PROXY") or os.environ.get("WANDB_HTTPS_PROXY"):
        return ""
    found = [f"no answer within {_PROBE_SECONDS:.0f} s"]

    def look() -> None:
        try:
            with urllib.request.urlopen(url, timeout=_PROBE_SECONDS):
                found[0] = ""
        except urllib.error.HTTPError:
            found[0] = ""
        except OSError as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLError):  # somebody is there; W&B has its own certificates
                found[0] = ""
            elif not isinstance(reason, TimeoutError):
                found[0] = str(getattr(reason, "strerror", None) or reason)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return found[0]
