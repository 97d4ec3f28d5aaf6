"""The command `warmtoken`."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence

USAGE_ERROR = 2  # what argparse exits with
INTERRUPTED = 130  # as shells count a program that SIGINT ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return _demo(options)
    except KeyboardInterrupt:
        sys.stderr.write("warmtoken: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output is gone; the interpreter must not fail once more when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="warmtoken", description="OAuth 2.0 tokens that worker processes share.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="worker processes share the tokens of a real, local identity provider",
        description="Signs a user in at an identity provider on this host, lets worker processes share the tokens "
        "while they expire, are refreshed and revoked, and puts a pure-Python cache to the same test.",
    )
    demo.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    demo.add_argument("--browser", action="store_true", help="sign in with the real browser, by hand")
    demo.add_argument("--workers", type=_workers, default=4, metavar="N", help="worker processes, 1 to 64 (4)")
    demo.add_argument(
        "--seconds", type=_seconds, default=10.0, metavar="S", help="of load on each cache, 6 to 3600 (10)"
    )
    return parser


def _version() -> str:
    from warmtoken import __version__

    return f"warmtoken {__version__}"


def _workers(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError(f"expected 1 to 64 workers, got {text}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 6 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"expected 6 to 3600 seconds, got {text}")
    return seconds


def _demo(options: argparse.Namespace) -> int:
    from warmtoken.demo.show import Show, play

    return play(Show(options.workers, options.seconds, browser=options.browser, as_json=options.json))
