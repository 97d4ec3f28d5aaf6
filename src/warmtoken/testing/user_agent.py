"""A scripted browser that signs a user in."""

from __future__ import annotations

import threading
import time
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Any, Literal, get_args
from urllib.parse import urlencode, urljoin

from warmtoken.errors import ProtocolError

Behaviour = Literal["sign_in", "cancel", "close"]
MAX_STEPS = 20
STEP_SECONDS = 30


class UserAgent:
    """A browser and its user, for `open_browser`: call it with a URL, and it signs `username` in.

    It follows redirects, fills in the forms of `IdentityProvider` (sign-in, device) and at last gets the redirect URI
    of the program; it keeps the cookies of one call, as a web site's session needs. By default it does so in a
    background thread, and the call returns at once, as with a real browser; errors are kept for `join()`. `behaviour`
    is "sign_in", "cancel" (the user presses Cancel) or "close" (the user looks at the page and closes the browser:
    nothing comes back). May be called many times, by many threads.
    """

    def __init__(
        self, username: str = "alice@example.test", *, behaviour: Behaviour = "sign_in", background: bool = True
    ) -> None:
        if behaviour not in get_args(Behaviour):
            raise ValueError(f"expected behaviour to be one of {', '.join(get_args(Behaviour))}, not {behaviour!r}")
        self.username = username
        self.behaviour = behaviour
        self._background = background
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._errors: list[Exception] = []
        self._last_page = ""

    @property
    def last_page(self) -> str:
        """The text of the page that the user saw last: as a rule, the program's landing page."""
        return self._last_page

    def __call__(self, url: str) -> bool:
        """Open a URL; returns True as `webbrowser.open` does. Raises only without the background thread."""
        if not self._background:
            self._browse(url)
            return True
        thread = threading.Thread(target=self._browse_and_keep_errors, args=(url,), name="user agent", daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()
        return True

    def join(self, timeout: float = 30.0) -> None:
        """Wait, `timeout` seconds at most, until all is done, and raise the first error there was.

        Raises TimeoutError, OSError where a page could not be had, ProtocolError where it was not as expected.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            threads = self._threads[:]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._settle()

    def _settle(self) -> None:
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            errors, self._errors = self._errors, []
        if errors:
            raise errors[0]
        if self._threads:
            raise TimeoutError("expected the sign-in to be done by now; the browser still waits for a page")

    def _browse_and_keep_errors(self, url: str) -> None:
        try:
            self._browse(url)
        except Exception as error:  # noqa: BLE001  join() raises it
            with self._lock:
                self._errors.append(error)

    def _browse(self, url: str) -> None:
        window = _Window()
        page = window.get(url)
        for _ in range(MAX_STEPS):
            self._last_page = page.text
            if page.status >= 400:
                raise ProtocolError("unexpected_page", f"expected a page to sign in, got HTTP status {page.status}")
            form = page.form()
            if form is None or (self.behaviour == "close" and form.asks_the_user()):
                return
            page = window.post(urljoin(page.url, form.action), form.filled(self.username, self.behaviour == "cancel"))
        raise ProtocolError("unexpected_page", f"expected the sign-in to be done after {MAX_STEPS} pages")


@dataclass
class _Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict[str, str])
    buttons: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def asks_the_user(self) -> bool:
        return "username" in self.fields

    def filled(self, username: str, cancel: bool) -> dict[str, str]:
        """What the form sends after the user has typed a name and pressed a button, the first one or the last."""
        data = dict(self.fields)
        if self.asks_the_user():
            data["username"] = username
        if self.buttons:
            name, value = self.buttons[-1 if cancel else 0]
            data[name] = value
        return data


@dataclass
class _Page:
    url: str
    status: int
    text: str = field(repr=False)

    def form(self) -> _Form | None:
        parser = _FormParser()
        parser.feed(self.text)
        return parser.form


class _FormParser(HTMLParser):
    """Finds the first form that is posted."""

    def __init__(self) -> None:
        super().__init__()
        self.form: _Form | None = None
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.form is None and given.get("method", "").lower() == "post":
            self.form, self._inside = _Form(given.get("action", "")), True
        elif self.form and self._inside and "name" in given:
            self._control(self.form, tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False

    def _control(self, form: _Form, tag: str, given: dict[str, str]) -> None:
        if tag == "input":
            form.fields[given["name"]] = given.get("value", "")
        elif tag == "button":
            form.buttons.append((given["name"], given.get("value", "")))


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """Hands out replies of any status, but for redirects, which are followed."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return super().http_response(request, response) if 300 <= response.status < 400 else response

    https_response = http_response


class _Window:
    """Loads pages, with the cookies of those before."""

    def __init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AnyStatus(), cookies)

    def get(self, url: str) -> _Page:
        return self._open(urllib.request.Request(url))  # noqa: S310  the URL of the program under test

    def post(self, url: str, data: dict[str, str]) -> _Page:
        return self._open(urllib.request.Request(url, urlencode(data).encode()))  # noqa: S310  as above

    def _open(self, request: urllib.request.Request) -> _Page:
        with self._opener.open(request, timeout=STEP_SECONDS) as reply:
            return _Page(reply.url, reply.status, reply.read().decode("utf-8", errors="replace"))
