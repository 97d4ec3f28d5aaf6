"""Refreshes a token each time when told; prints the error's code and by how many bytes the process grew meanwhile."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from support import KEY

import warmtoken
import warmtoken.aio
from warmtoken import TokenCache, WarmTokenError

READ = ["orders.read"]
STATUS = Path("/proc/self/status")


def main(mode: str, issuer: str, directory: str) -> None:
    cache = TokenCache(directory, key=KEY)
    module = warmtoken if mode == "sync" else warmtoken.aio
    app = module.PublicClientApplication("cli", authority=issuer, cache=cache)
    with asyncio.Runner() as runner:

        def run(method: str, *arguments: object, **named: object) -> Any:
            outcome = getattr(app, method)(*arguments, **named)
            return outcome if mode == "sync" else runner.run(outcome)

        account = run("acquire_token_by_refresh_token", "rt", READ).account
        for _ in range(5):  # all is imported, all buffers have been used
            run("acquire_token_silent", READ, account, force_refresh=True)
        print("ready", flush=True)
        for _ in sys.stdin:
            before = resident("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")  # begin with the peak anew: proc(5)
            code = "none"
            try:
                run("acquire_token_silent", READ, account, force_refresh=True)
            except WarmTokenError as error:
                code = error.code
            print(json.dumps([code, resident("VmHWM") - before]), flush=True)
        run("close" if mode == "sync" else "aclose")


def resident(name: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
