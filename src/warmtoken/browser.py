"""Launching the system browser for a sign-in."""

from __future__ import annotations

import logging
import os
import queue
import re
import sys
import threading
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from warmtoken.errors import ClientError

if TYPE_CHECKING:
    from webbrowser import BaseBrowser

_logger = logging.getLogger("warmtoken")

_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")  # RFC 3986, section 2: nothing else is in a URL
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
_TEXT_BROWSERS = frozenset({"www-browser", "w3m", "lynx", "links", "links2", "elinks"})
_CHOICE_SECONDS = 5.0


def open_system_browser(url: str) -> None:
    """Print the sign-in URL on stderr, open it in the user's browser and return without waiting for the browser.

    `url` is an https URL, or an http one of a loopback host. Raises ValueError for any other, ClientError
    "no_browser" on a host without a graphical browser: no display, or only text browsers. The environment
    variable BROWSER, as Python's webbrowser module reads it, overrides the search for a display.
    """
    _check_url(url)
    if _is_headless():
        raise _no_browser("there is no display")
    choice: queue.SimpleQueue[ClientError | None] = queue.SimpleQueue()
    threading.Thread(target=_launch, args=(url, choice), name="warmtoken-browser", daemon=True).start()
    try:
        error = choice.get(timeout=_CHOICE_SECONDS)
    except queue.Empty:
        error = None  # still looking: the printed URL serves until then
    if error is not None:
        raise error
    _print_url(url)


def _print_url(url: str) -> None:
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None under pythonw
        sys.stderr.write(f"Sign in at: {url}\n")
        sys.stderr.flush()


def _check_url(url: str) -> None:
    # The URL becomes an argument of a program: no option, no script, no file (RFC 8252, section 8.1).
    if not _URL.fullmatch(url):
        raise ValueError("the URL to open must be printable ASCII without spaces, as RFC 3986 has it")
    parts = urlsplit(url)
    if "@" in parts.netloc or not parts.hostname:
        raise ValueError("the URL to open must name a host, and no user")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS):
        raise ValueError(f"the URL to open must be https, or http on a loopback host, not {parts.scheme}")


def _is_headless() -> bool:
    if os.environ.get("BROWSER") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return False
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" in os.environ
    return True


def _no_browser(why: str) -> ClientError:
    return ClientError(
        "no_browser",
        f"no browser can be opened here: {why}; pass open_browser= with a function that shows the URL to the user,"
        " or use the device code flow",
    )


def _launch(url: str, choice: queue.SimpleQueue[ClientError | None]) -> None:
    """Choose a browser, report the choice, then open the URL, which may take as long as the browser runs."""
    browser = _choose(choice)
    if browser is not None and not _opened(browser, url):
        _logger.warning("the browser could not be started; open the printed URL by hand")


def _choose(choice: queue.SimpleQueue[ClientError | None]) -> BaseBrowser | None:
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        choice.put(_no_browser("none is installed"))
        return None
    # A text browser would take over the terminal, and no sign-in page works in one.
    name = PurePath(getattr(browser, "name", "")).name
    if name in _TEXT_BROWSERS:
        choice.put(_no_browser(f"only the text browser {name} was found"))
        return None
    choice.put(None)
    return browser


def _opened(browser: BaseBrowser, url: str) -> bool:
    try:
        return browser.open(url)
    except OSError:
        return False
