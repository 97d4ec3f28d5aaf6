from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import warmtoken.browser
from warmtoken.browser import open_system_browser
from warmtoken.errors import ClientError

URL = "https://login.example/authorize?client_id=a&scope=openid%20profile&state=s"
DISPLAYS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION")
SOURCE = Path(warmtoken.browser.__file__).parents[1]

# webbrowser reads the environment once a process, so each case has a process of its own.
PROGRAM = """
import sys, time
from warmtoken.browser import open_system_browser
from warmtoken.errors import ClientError
started = time.monotonic()
try:
    open_system_browser(sys.argv[1])
except ClientError as error:
    print("error", error)
print(f"took {time.monotonic() - started:.3f}")
sys.stdout.flush()
sys.stdin.read()
"""


def run_program(environment: dict[str, str], url: str = URL) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if name not in DISPLAYS}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, url],
        env={**clean, "PYTHONPATH": str(SOURCE), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def script(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, "the browser was not started"
        time.sleep(0.02)
    return path.read_text()


@pytest.mark.parametrize("display", [{}, {"DISPLAY": ":0"}, {"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}])
def test_browser_gets_the_url_as_one_argument_and_stderr_shows_it(tmp_path: Path, display: dict[str, str]) -> None:
    seen = tmp_path / "seen"
    browser = script(tmp_path, "browser", f'printf "%s\\n" "$#" "$1" > {seen}.part && mv {seen}.part {seen}\n')
    with run_program({"BROWSER": str(browser), **display}) as program:
        assert wait_for(seen) == f"1\n{URL}\n"
        out, err = program.communicate(timeout=60)
    assert err == f"Sign in at: {URL}\n"
    assert out.startswith("took ")


def test_a_browser_that_runs_on_does_not_hold_the_caller(tmp_path: Path) -> None:
    browser = script(tmp_path, "browser", f"cd {tmp_path}; echo $$ > part && mv part pid; exec sleep 60\n")
    with run_program({"BROWSER": str(browser)}) as program:
        pid = int(wait_for(tmp_path / "pid"))
        assert program.stdout is not None
        assert float(program.stdout.readline().split()[1]) < 30  # it sleeps for a minute
        os.kill(pid, 9)
        assert program.communicate(timeout=60)[1].startswith(f"Sign in at: {URL}\n")


def test_a_choice_that_hangs_does_not_hold_the_caller(tmp_path: Path) -> None:
    """webbrowser asks xdg-settings, without a deadline."""
    script(tmp_path, "xdg-settings", "exec sleep 30\n")
    path = f"{tmp_path}:{os.environ['PATH']}"
    with run_program({"DISPLAY": ":0", "BROWSER": "/bin/true", "PATH": path}) as program:
        out, err = program.communicate(timeout=60)
    assert 5 <= float(out.split()[1]) < 25
    assert f"Sign in at: {URL}\n" in err


def test_a_browser_that_fails_leaves_the_url_and_a_warning() -> None:
    with run_program({"BROWSER": "/bin/false"}) as program:
        assert program.stderr is not None
        lines = sorted([program.stderr.readline(), program.stderr.readline()])
        program.communicate(timeout=60)
    assert lines == [f"Sign in at: {URL}\n", "the browser could not be started; open the printed URL by hand\n"]


@pytest.mark.parametrize(
    "environment", [{}, {"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}, {"DISPLAY": "", "BROWSER": ""}]
)
def test_no_display_is_said_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    started = tmp_path / "started"
    script(tmp_path, "w3m", f"touch {started}\n")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "xterm", **environment}
    with run_program(environment) as program:
        out, err = program.communicate(timeout=60)
    assert out.startswith("error no browser can be opened here: there is no display; pass open_browser=")
    assert "device code flow" in out
    assert "[no_browser]" in out
    assert err == ""
    assert not started.exists()


@pytest.mark.parametrize("name", ["www-browser", "w3m", "lynx", "links", "elinks"])
@pytest.mark.parametrize("chosen", [True, False])
def test_text_browsers_do_not_count(tmp_path: Path, name: str, *, chosen: bool) -> None:
    started = tmp_path / "started"
    browser = script(tmp_path, name, f"touch {started}\n")
    environment = {"PATH": str(tmp_path), "TERM": "xterm", "DISPLAY": ":0"}
    with run_program({**environment, "BROWSER": str(browser)} if chosen else environment) as program:
        out, err = program.communicate(timeout=60)
    assert f"only the text browser {name} was found" in out
    assert err == ""
    assert not started.exists()


def test_no_browser_installed(tmp_path: Path) -> None:
    with run_program({"PATH": str(tmp_path), "DISPLAY": ":0"}) as program:
        out, _ = program.communicate(timeout=60)
    assert "none is installed" in out


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://login.example/",
        "http://login.example/",
        "http://127.0.0.1.example/",
        "http://localhost.example/",
        "https:///authorize",
        "https://user@login.example/",
        "--new-window=https://login.example/",
        "-https://login.example/",
        " https://login.example/",
        "https://login.example/\n--flag",
        "https://login.example/\n",
        "https://login.example/\x00",
        "https://login.example/a b",
        'https://login.example/"; calc',
        "https://login.example/`id`",
        "https://login.example/ü",
        "//login.example/",
        "login.example",
    ],
)
def test_hostile_url_is_refused_before_anything_runs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """T21."""
    monkeypatch.setenv("BROWSER", "/nonexistent")
    with pytest.raises(ValueError, match="the URL to open must"):
        open_system_browser(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80/a", "http://localhost:8080/?a=b", "http://[::1]:1/", "HTTPS://login.example"]
)
def test_good_url_passes_the_check(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ClientError, match="no display"):
        open_system_browser(url)
