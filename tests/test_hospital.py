"""What a hospital asks: no connection is made, and nothing that is given on names a place."""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import evaluate
import generate
import prepare
import train

ROOT = Path(__file__).parents[1]


class Connections:
    """Refuses every connection that leaves this machine, and keeps what was tried.

    W&B's service runs offline in a process of its own and is reached at 127.0.0.1.
    """

    def __init__(self) -> None:
        self.tried: list[str] = []

    def check(self, address: Any) -> None:
        if isinstance(address, str | bytes):  # a Unix socket
            return
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(address[0]).is_loopback:
                return
        self.tried.append(str(address))
        raise OSError(f"a connection to {address} was tried")


@pytest.fixture(scope="module")
def connections() -> Iterator[Connections]:
    watched = Connections()
    with pytest.MonkeyPatch.context() as patch:
        connect, connect_ex, resolve = (
            socket.socket.connect,
            socket.socket.connect_ex,
            socket.getaddrinfo,
        )

        def guarded(original: Any) -> Any:
            def call(self: socket.socket, address: Any) -> Any:
                watched.check(address)
                return original(self, address)

            return call

        def lookup(host: Any, *more: Any, **named: Any) -> Any:
            if host not in (None, "localhost"):
                watched.check((host,))
            return resolve(host, *more, **named)

        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        patch.setattr(socket, "getaddrinfo", lookup)
        patch.delenv("WANDB_MODE", raising=False)
        patch.delenv("WANDB_API_KEY", raising=False)
        yield watched


@pytest.fixture(scope="module")
def results(connections: Connections, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything the verbs write, made from a folder whose name must not be seen in it."""
    root = tmp_path_factory.mktemp("Ward_7_Dr_Secret")
    cache, sets = root / "cache", root / "set"
    drawn = ["--num-patients", "12", "--num-slices", "3", "--image-size", "32"]
    assert prepare.main(["phantom_ct", "--out", str(cache), *drawn]) == 0

    def fit(name: str, *words: str) -> Path:
        config = ROOT / f"configs/kits19/{name}.yaml"
        common = [f"--data.root={cache}", f"--run_folder={root / name}", "--wandb=offline"]
        common += ["--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
        return train.fit(["fit", f"--config={config}", *common, *words]).last_checkpoint

    width = ["--model.generator.width=4", "--model.discriminator.width=4"]
    generator = fit("pix2pix", *width, "--model.discriminator.num_layers=2")
    words = ["--checkpoint", str(generator), "--num-images", "4", "--out", str(sets)]
    assert generate.main([*words, "--device", "cpu"]) == 0
    small = ["--model.network.width=8", "--model.network.depth=2"]
    segmenter = fit("unet_light", *small, f"--data.synthetic={sets}")
    words = ["--checkpoint", str(segmenter), "--out", str(root / "scores"), "--device", "cpu"]
    assert evaluate.main(words) == 0
    return root


def test_no_verb_makes_a_connection(results: Path, connections: Connections) -> None:
    assert connections.tried == []
    assert (results / "scores/evaluation.json").is_file()
    with pytest.raises(OSError, match="was tried"):  # the guard itself works
        socket.create_connection(("example.org", 443), timeout=1)
    connections.tried.clear()


@pytest.mark.parametrize(
    "pattern",
    [
        "cache/manifest.json",
        "cache/records/*",
        "*/checkpoints/*.ckpt",
        "set/manifest.json",
        "*/wandb/offline-run-*/*.wandb",
        "*/metrics.*",
    ],
)
def test_what_is_given_on_names_no_place(results: Path, pattern: str) -> None:
    files = list(results.glob(pattern))
    assert files
    for file in files:
        assert b"Dr_Secret" not in file.read_bytes(), file
