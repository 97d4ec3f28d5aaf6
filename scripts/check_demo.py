"""Passes on the output of `make demo DEMO_FLAGS=--json` from stdin, and checks its last line."""

import json
import sys

EXPECTED = {"workers", "hits", "hit_p50_us", "expiries", "refreshes", "interactive_fallbacks", "errors"}

line = ""
for line in sys.stdin:
    sys.stdout.write(line)
    sys.stdout.flush()
figures = json.loads(line)
good = (
    figures.keys() >= EXPECTED
    and figures["refreshes"] == figures["expiries"] > 0
    and figures["interactive_fallbacks"] == 1
    and figures["errors"] == 0
    and figures["workers"] >= 4
    and figures["hits"] >= 100_000
)
sys.exit(None if good else f"expected {sorted(EXPECTED)}, refreshes equal to expiries and no errors")
