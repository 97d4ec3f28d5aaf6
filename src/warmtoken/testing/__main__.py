"""`python -m warmtoken.testing`: the identity provider in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from warmtoken.testing.provider import IdentityProvider

if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = (
    ("access_token_lifetime", int, "seconds"),
    ("refresh_token_lifetime", int, "seconds"),
    ("id_token_lifetime", int, "seconds"),
    ("refresh_in", int, "seconds"),
    ("device_interval", int, "seconds between two polls"),
    ("token_delay", float, "seconds before every token reply"),
    ("rotation", str, "always or never"),
    ("access_token_format", str, "opaque or jwt"),
    ("on_behalf_of", str, "jwt-bearer or token-exchange"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or the command to stop; prints `ready URL` on stdout when it listens."""
    parser = _parser()
    options = parser.parse_args(arguments)
    provider = IdentityProvider(port=options.port)
    try:
        _configure(provider, options)
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    try:
        _serve(provider)
    except OSError as error:
        parser.error(f"cannot listen on port {options.port}: {error.strerror or error}; --port 0 takes a free one")
    return 0


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, got {text}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m warmtoken.testing", description="An identity provider for tests.")
    parser.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1; 0, the default, takes a free one")
    parser.add_argument("--client", nargs=2, metavar=("ID", "SECRET"), action="append", default=[])
    for name, kind, meaning in OPTIONS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=meaning)
    return parser


def _configure(provider: IdentityProvider, options: argparse.Namespace) -> None:
    given: dict[str, Any] = vars(options)
    for name, _, _ in OPTIONS:
        if given[name] is not None:
            provider.execute("set", {"name": name, "value": given[name]})
    for client_id, secret in options.client:
        provider.add_client(client_id, secret)


def _serve(provider: IdentityProvider) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    with contextlib.suppress(KeyboardInterrupt), provider:
        sys.stderr.write("warmtoken.testing: for development only, any name signs in and nothing is kept\n")
        sys.stdout.write(f"ready {provider.issuer}\n")
        sys.stdout.flush()
        provider.wait()


def _leave(_number: int, _frame: object) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a second one must not break the stopping
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
