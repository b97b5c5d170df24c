"""One worker per job, also when several processes or machines share a study's folder.

A claim is a small file made with O_EXCL. Its owner touches it while it works; a claim whose owner
is dead, or that nobody has touched for minutes, is taken over, so kill -9 leaves no lock behind.
So is one of the same SLURM job before it was requeued: a job has one life at a time.
"""

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType

HEARTBEAT_SECONDS = 15.0
# Far above the heartbeat: clocks of machines that share a folder may differ by a minute or so.
ABANDONED_AFTER_SECONDS = 300.0


class Claim:
    """A held claim; leaving the `with` block, or `release`, gives it back."""

    def __init__(self, path: Path, token: str) -> None:
        self._path = path
        self._token = token
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, path: Path) -> "Claim | None":
        """Claim a job, or None when a living process holds it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        token = uuid.uuid4().hex
        for _ in range(2):
            if _create(path, token):
                return cls(path, token)
            if not _abandoned(path) or not _set_aside(path):
                return None
        return None

    def release(self) -> None:
        """Give the claim back."""
        self._ended.set()
        self._thread.join()
        if _owner(self._path).get("token") == self._token:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> "Claim":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            if self._path.exists():
                os.utime(self._path)


def holder(path: Path) -> str:
    """Who holds a claim, for a message."""
    owner = _owner(path)
    return f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"


def _machine() -> str:
    """Names what a process id is unique in: host, boot and process namespace."""
    parts = [socket.gethostname()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.is_file():
        parts.append(boot.read_text().strip())
    namespace = Path("/proc/self/ns/pid")
    if namespace.is_symlink():
        parts.append(os.readlink(namespace))
    return " ".join(parts)


def _slurm_life() -> tuple[str, int]:
    """The SLURM job of this process, "" outside of one, and how often it was requeued."""
    job, cluster = (os.environ.get(f"SLURM_{name}", "") for name in ("JOB_ID", "CLUSTER_NAME"))
    return f"{cluster} {job}" if job else "", int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def _create(path: Path, token: str) -> bool:
    job, life = _slurm_life()
    content = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "machine": _machine(),
        "token": token,
        "slurm_job": job,
        "slurm_life": life,
    }
    # Written under another name and linked, so that no reader ever sees an empty claim.
    draft = path.with_name(f".{path.name}.{token}")
    draft.write_text(json.dumps(content))
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _owner(path: Path) -> dict[str, str | int]:
    try:
        owner = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _abandoned(path: Path) -> bool:
    owner = _owner(path)
    try:
        silent = time.time() - path.stat().st_mtime
    except OSError:
        return False
    if silent > ABANDONED_AFTER_SECONDS:
        return True
    job, life = _slurm_life()
    if job and owner.get("slurm_job") == job and int(owner.get("slurm_life", life)) < life:
        return True
    return owner.get("machine") == _machine() and not _alive(int(owner.get("pid", 0)))


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    # A killed process that its parent has not yet collected is dead too.
    return not (stat.is_file() and stat.read_text().rpartition(")")[2].split()[:1] == ["Z"])


def _set_aside(path: Path) -> bool:
    """Remove a dead owner's claim, unless another process did so and claimed it meanwhile."""
    dead = _owner(path).get("token")
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.abandoned")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return True
    if _owner(aside).get("token") != dead:
        os.rename(aside, path)
        return False
    aside.unlink(missing_ok=True)
    return True
