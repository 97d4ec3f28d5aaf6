from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from testing.conftest import App

from warmtoken.testing import IdentityProviderControl

if TYPE_CHECKING:
    from collections.abc import Generator

COMMAND = (sys.executable, "-m", "warmtoken.testing")


@contextmanager
def running(*options: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            word, issuer = process.stdout.readline().split()
            assert word == "ready"
            yield process, issuer
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(number: signal.Signals) -> None:
    with running() as (process, _):
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == ""
    assert "development only" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("port", ["65536", "-1", "http", ""])
def test_a_port_that_is_none_is_wrong_usage(port: str) -> None:
    done = subprocess.run([*COMMAND, f"--port={port}"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected 0 to 65535" in done.stderr


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with running() as (_, issuer):
        port = issuer.rpartition(":")[2]
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot listen on port {port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_control_can_end_it() -> None:
    with running() as (process, issuer):
        IdentityProviderControl(issuer).stop()
        assert process.wait(60) == 0


def test_options_are_the_settings() -> None:
    options = ("--access-token-lifetime", "4", "--rotation", "never", "--refresh-in", "2", "--client", "web", "secret")
    with running(*options) as (_, issuer):
        control = IdentityProviderControl(issuer)
        assert (control.access_token_lifetime, control.rotation, control.refresh_in) == (4, "never", 2)


def test_tokens_from_another_process() -> None:
    import httpx2

    with running("--access-token-lifetime", "4") as (_, issuer):
        with httpx2.Client(base_url=issuer, trust_env=False, timeout=60) as http:
            app = App(http)
            tokens = app.sign_in()
            assert tokens["expires_in"] == 4
            assert app.refresh(tokens["refresh_token"]).status_code == 200
        assert IdentityProviderControl(issuer).counters.refreshes_granted == 1


def test_wrong_options_are_explained() -> None:
    done = subprocess.run([*COMMAND, "--rotation", "sometimes"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected one of always, never" in done.stderr
    assert done.stdout == ""
