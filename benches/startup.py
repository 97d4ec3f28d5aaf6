"""Measures how soon a fresh interpreter has a token from an existing cache: `python -m benches.startup`."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benches.crowd import Users
from benches.markdown import duration
from benches.ours import KEY
from benches.population import AUTHORITY, CLIENT_ID, ENVIRONMENT, SCOPES
from benches.report import TOP, Report, is_quick, scratch
from benches.separate import alone

RUNS, QUICK_RUNS = 15, 3
TOKENS = 2_000
LATE = ("ssl", "asyncio", "httpx2", "joserfc", "cryptography.x509")  # what nobody should wait for who has a token

NOTHING = "nothing"
IMPORT = "import warmtoken"
HIT = "import warmtoken and one warm hit"
MSAL = "import msal"
AZURE = "import azure.identity"

ENDING = """
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules), "result": result}))
"""
BEGINNING = "import json, sys, time\nresult = None\nstart = time.perf_counter()\n"
PROGRAMS = {
    NOTHING: BEGINNING + ENDING,
    IMPORT: BEGINNING + "import warmtoken" + ENDING,
    HIT: BEGINNING
    + """
import warmtoken
directory, key, client_id, authority, environment, user, *scopes = sys.argv[1:]
cache = warmtoken.TokenCache(directory, key=bytes.fromhex(key))
application = warmtoken.PublicClientApplication(client_id, authority=authority, cache=cache)
token = application.acquire_token_silent(scopes, warmtoken.Account(user, environment))
result = token.access_token, token.metadata.cache_level
"""
    + ENDING,
    MSAL: BEGINNING + "import msal" + ENDING,
    AZURE: BEGINNING + "import azure.identity" + ENDING,
}


def main() -> None:
    """Run each program in turn, so that none has the machine at a better time than the others."""
    quick = is_quick("startup", "Measure import and one warm hit in a fresh interpreter.")
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in PROGRAMS}
    with scratch() as directory:
        crowd = Users(Path(directory), TOKENS, int(time.time()))
        alone(crowd.fill)
        arguments = _arguments(crowd)
        for name in PROGRAMS:
            _run(name, arguments)  # compiles what is imported
        for _ in range(QUICK_RUNS if quick else RUNS):
            for name, each in runs.items():
                each.append(_run(name, arguments))
        _check(runs[HIT], crowd)
    _publish(quick, runs)


def _arguments(crowd: Users) -> list[str]:
    account = crowd.entry(TOKENS // 2).account
    assert account is not None
    user = account.home_account_id
    return [str(crowd.directory), KEY.hex(), CLIENT_ID, AUTHORITY, ENVIRONMENT, user, *SCOPES]


def _run(name: str, arguments: list[str]) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[name], *arguments],
        cwd=TOP,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    process_seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "process_seconds": process_seconds}


def _check(runs: list[dict[str, Any]], crowd: Users) -> None:
    expected = [crowd.entry(TOKENS // 2).access_token, "store"]
    for run in runs:
        assert run["result"] == expected
        loaded = set(LATE).intersection(run["modules"])
        assert not loaded, f"expected none of {', '.join(LATE)} to be loaded by a warm hit, got {sorted(loaded)}"


def _publish(quick: bool, runs: dict[str, list[dict[str, Any]]]) -> None:
    report = Report("startup", quick, "A fresh interpreter: import, and the first token from an existing cache")
    report.notes = [
        f"Medians of {len(runs[HIT])} runs; {TOKENS:,} tokens in the cache.",
        f"Not loaded by import and hit: {', '.join(LATE)}.",
    ]
    report.figures = {
        name: {
            "seconds": statistics.median(run["seconds"] for run in each),
            "process_seconds": statistics.median(run["process_seconds"] for run in each),
            "modules": len(each[0]["modules"]),
            "loaded_of_late": sorted(set(LATE).intersection(each[0]["modules"])),
        }
        for name, each in runs.items()
    }
    report.rows = [["program", "in the interpreter", "whole process", "modules loaded", f"of {', '.join(LATE)}"]]
    report.rows += [_row(name, of) for name, of in report.figures.items()]
    report.publish()


def _row(name: str, of: dict[str, Any]) -> list[str]:
    seconds = "-" if name == NOTHING else duration(of["seconds"])
    return [name, seconds, duration(of["process_seconds"]), str(of["modules"]), ", ".join(of["loaded_of_late"]) or "-"]


if __name__ == "__main__":
    main()
