"""Cache files that were damaged, or made to do damage: nothing but stored tokens comes out of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from faults.scale import SCALE
from isolated.support import run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_mutated_file_gives_no_wrong_token_and_is_left_as_it_was(directory: Path, seed: int) -> None:
    """liblmdb trusts its pages: who can write to the file can crash who reads it (docs/reliability.md), no more."""
    directory.mkdir(mode=0o700)
    counts: dict[str, int] = json.loads(
        run("mutated_files.py", directory, SCALE.mutated_files, seed, timeout=SCALE.timeout)
    )
    print(counts)
    assert sum(counts.values()) == SCALE.mutated_files
    assert counts.get("wrong", 0) == 0
    assert counts.get("changed", 0) == 0
    assert counts["used"] > 0
    assert counts["refused"] > 0
