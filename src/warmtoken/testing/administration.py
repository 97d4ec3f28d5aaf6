"""The commands by which a test steers the provider, as they come in the process or over HTTP."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

from warmtoken.testing.endpoints import decide_device
from warmtoken.testing.exchange import Reply, Request, json_reply
from warmtoken.testing.faults import ENDPOINTS, checked_fault
from warmtoken.testing.settings import check_claims, check_count, check_text, one_of, optional
from warmtoken.testing.state import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from warmtoken.testing.core import Core


class Administration:
    """Carries out commands on one provider; arguments are of JSON's types, and so are results."""

    def __init__(self, core: Core, *, stop: Callable[[], None]) -> None:
        self._core = core
        self._stop = stop
        self._commands: dict[str, Callable[..., Any]] = {
            "set": self._set,
            "state": self._state,
            "token_requests": self._token_requests,
            "reset_counters": core.recorder.reset,
            "fail_next": self._fail_next,
            "clear_faults": core.faults.clear,
            "revoke_user": self._revoke_user,
            "revoke_refresh_tokens": self._revoke_refresh_tokens,
            "add_client": self._add_client,
            "set_user_claims": self._set_user_claims,
            "approve_device": self._approve_device,
            "deny_device": self._deny_device,
            "rotate_signing_key": core.keys.rotate,
            "stop": self._stop,
        }

    def execute(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """Raises ValueError or TypeError for commands and arguments that cannot be."""
        if command not in self._commands:
            raise ValueError(f"expected one of the commands {', '.join(self._commands)}, not {command!r}")
        return self._commands[command](**arguments)

    def answer(self, request: Request) -> Reply:
        """The control endpoint: GET tells the settings and counters, POST carries out one command."""
        if request.method == "GET":
            return json_reply(self._state())
        if request.media_type() != "application/json":  # a form on a foreign web page cannot send this type
            return _refused(TypeError("expected a body of type application/json"), status=415)
        try:
            command, arguments = _command(request.body)
            if command == "stop":
                return replace(json_reply({"result": None}), then=self._stop)
            return json_reply({"result": self.execute(command, arguments)})
        except (TypeError, ValueError) as error:
            return _refused(error, status=400)

    def _state(self) -> dict[str, Any]:
        return {"settings": self._core.settings.as_dict(), "counters": asdict(self._core.recorder.snapshot())}

    def _token_requests(self) -> list[dict[str, Any]]:
        return [asdict(request) for request in self._core.recorder.token_requests()]

    def _set(self, name: str, value: Any) -> None:
        self._core.settings.change(name, value)

    def _fail_next(
        self,
        endpoint: str,
        times: int,
        status: int | None,
        body: str | dict[str, Any] | None,
        headers: dict[str, str] | None,
        delay: float,
        disconnect: str | None,
    ) -> None:
        one_of(*ENDPOINTS)("endpoint", endpoint)
        check_count("times", times)
        fault = checked_fault(status=status, body=body, headers=headers, delay=delay, disconnect=disconnect)
        self._core.faults.order(endpoint, fault, times=times)

    def _revoke_user(self, username: str) -> int:
        check_text("username", username)
        return self._core.tokens.revoke_sign_ins(username)

    def _revoke_refresh_tokens(self) -> int:
        return self._core.tokens.revoke_sign_ins(None)

    def _add_client(self, client_id: str, secret: str | None, redirect_uris: list[str]) -> None:
        check_text("client_id", client_id)
        optional(check_text)("secret", secret)
        for redirect_uri in redirect_uris:
            check_text("redirect_uris", redirect_uri)
        self._core.clients.add(Client(client_id, secret, tuple(redirect_uris)))

    def _set_user_claims(self, username: str, claims: dict[str, Any]) -> None:
        check_text("username", username)
        check_claims("claims", claims)
        self._core.users.set_claims(username, claims)

    def _approve_device(self, user_code: str, username: str) -> None:
        check_text("username", username)
        decide_device(self._core, user_code, username)

    def _deny_device(self, user_code: str) -> None:
        decide_device(self._core, user_code, None)


def _command(body: bytes) -> tuple[str, dict[str, Any]]:
    content: Any = json.loads(body)
    if not isinstance(content, dict):
        raise TypeError("expected a JSON object with 'command' and 'arguments'")
    parts = cast("dict[str, Any]", content)
    command, arguments = parts.get("command"), parts.get("arguments", {})
    if not isinstance(command, str) or not isinstance(arguments, dict):
        raise TypeError("expected a JSON object with 'command', a string, and 'arguments', an object")
    return command, cast("dict[str, Any]", arguments)


def _refused(error: Exception, *, status: int) -> Reply:
    kind = "TypeError" if isinstance(error, TypeError) else "ValueError"
    return json_reply({"error": kind, "error_description": str(error)}, status=status)
