"""Where a run is logged, and what is said of variables that W&B would stop at."""

import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from provenance import UserError
from wandb_runs import environment
from wandb_runs.environment import Destination, resolve

KEY = "0123456789abcdef" * 2 + "01234567"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def server() -> Iterator[str]:
    """Answers everything with 404, as a server that does not know W&B would."""
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), http.server.BaseHTTPRequestHandler
    ) as httpd:
        httpd.RequestHandlerClass.log_message = lambda *a: None  # type: ignore[method-assign]
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.mark.parametrize(
    ("asked", "stated", "mode"),
    [
        ("auto", "", "offline"),
        ("auto", "dryrun", "offline"),
        ("auto", "disabled", "disabled"),
        ("offline", "online", "offline"),
        ("disabled", "online", "disabled"),
    ],
)
def test_without_a_key_nothing_is_sent(
    asked: environment.WandbMode, stated: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", stated)  # an empty one counts as not set
    assert resolve(asked).mode == mode


def test_what_w_and_b_was_told_for_this_folder_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb.teardown()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", NOBODY)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb/settings").write_text("[default]\nmode = offline\n")  # as `wandb offline`
    assert resolve("auto") == Destination("offline", "set by `wandb offline`")
    assert "cannot be reached" in resolve("online").why
    wandb.teardown()


@pytest.mark.parametrize(("asked", "stated"), [("online", ""), ("auto", "online")])
def test_online_without_a_key_is_refused_and_never_asks(
    asked: environment.WandbMode, stated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", stated)
    with pytest.raises(UserError, match=r"online: there is no key for https://.*--wandb offline"):
        resolve(asked)


@pytest.mark.parametrize("kept", ["variable", "netrc"])
def test_with_a_key_and_a_server_a_run_is_online(
    kept: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    if kept == "variable":
        monkeypatch.setenv("WANDB_API_KEY", KEY)
    else:
        host = server.removeprefix("http://")
        (tmp_path / "netrc").write_text(f"machine {host}\n login user\n password {KEY}\n")
    assert resolve("auto") == Destination("online", "there is a key")


def test_with_a_key_and_no_network_a_run_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", NOBODY)
    for asked in ("auto", "online"):
        assert str(resolve(asked)) == (f"offline ({NOBODY} cannot be reached: Connection refused)")


def test_a_network_that_swallows_everything_costs_its_time_out_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(environment, "_PROBE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        found = resolve("auto")
        assert time.monotonic() - started < 2
    assert found.mode == "offline"
    assert "no answer within 0 s" in found.why


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("WANDB_MODE", "ofline", r"WANDB_MODE=ofline: expected online, offline or disabled\. Did "),
        ("WANDB_MODE", "shared", r"WANDB_MODE=shared: expected online, offline or disabled\. N"),
        ("WANDB_BASE_URL", "hospital", r"WANDB_BASE_URL=hospital: .*valid URL"),
        ("WANDB_BASE_URL", "https://app.wandb.ai", r"not a valid server address, did you mean"),
        ("WANDB_API_KEY", "sesame", r"WANDB_API_KEY: API key must have 40\+ characters, has 6"),
        ("WANDB_PROJECT", "a/b", r"WANDB_PROJECT=a/b: Invalid project name 'a/b': cannot contain"),
        ("WANDB_RUN_ID", "a:b", r"WANDB_RUN_ID=a:b: Run ID cannot contain the characters"),
        ("WANDB_INIT_TIMEOUT", "soon", r"WANDB_INIT_TIMEOUT=soon: .*valid number"),
        ("WANDB_RESUME_FROM", "x?_step=1", r"WANDB_RESUME_FROM: is not supported; .*--resume true"),
    ],
)
def test_an_invalid_variable_is_named_and_nothing_begun(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=sentence):
        resolve("auto")
    assert resolve("disabled").mode == "disabled"  # then nobody reads it


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WANDB_API_KEY", " secret key of 50 characters with spaces inside it, oh"),
        ("WANDB_HTTPS_PROXY", "somebody:secret@proxy"),
    ],
)
def test_no_sentence_shows_a_secret(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"{name}: ") as caught:
        resolve("auto")
    assert "secret" not in str(caught.value)


def test_variables_that_do_nothing_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WANDB_PROJCT", "WANDB_DIR", "WANDB_PROJECT", "WANDB_TAGS"):
        monkeypatch.setenv(name, "ward")
    resolve("offline")
    assert capsys.readouterr().err.splitlines() == [
        "WANDB_DIR has no effect: what W&B writes lies in the run folder.",
        "WANDB_PROJCT has no effect: W&B has no such variable. Did you mean WANDB_PROJECT?",
    ]


def test_w_and_b_sends_no_reports_of_its_own_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
    from wandb.env import error_reporting_enabled

    resolve("offline")
    assert not error_reporting_enabled()
    os.environ.pop("WANDB_ERROR_REPORTING")
