"""How much each fault test does: a little with every change, all of it by night."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The numbers of docs/reliability.md; `timeout` bounds one script, in seconds, and only catches what hangs."""

    name: str
    timeout: float
    kills: int  # of programs that write, readers running
    engine_kills: int  # of a tight loop of the engine's commits
    rounds_of_calls: int  # how often a writer is killed at each of its system calls
    unseen_commits: int  # writers killed between the meta page and the moment when readers see it
    crash_states: int  # files as a power loss may leave them
    lost_syncs: int  # the same, where syncs are ignored: some must be broken
    map_bytes: int  # to which the map grows from 1 MiB
    growths: int
    forks: int
    openings: int
    dead_readers: int
    writes_after_dead_readers: int
    stopped_readers: int
    checks: int  # answers compared with what was written
    clock_steps: int
    key_rotations: int
    rotation_reads: int  # at least, by all processes together
    mutated_files: int
    bad_replies: int  # of a provider, each kind
    slow_replies: int  # those of them that last until the deadline
    model_runs: int  # of the state machine that compares flows with a dict
    expiries: int  # each met by 512 callers at once
    early_refreshes: int  # the same, ahead of the expiry
    refresh_crashes: int  # at each of five points of a refresh


PR = Scale(
    name="pr", timeout=150, kills=100, engine_kills=200, rounds_of_calls=1, unseen_commits=20, crash_states=5_000,
    lost_syncs=200, map_bytes=64 << 20, growths=1, forks=50, openings=5_000, dead_readers=20,
    writes_after_dead_readers=1_000, stopped_readers=50, checks=10_000_000, clock_steps=100, key_rotations=2,
    rotation_reads=10_000, mutated_files=500, bad_replies=1, slow_replies=1, model_runs=100,
    expiries=50, early_refreshes=3, refresh_crashes=5,
)  # fmt: skip
NIGHTLY = Scale(
    name="nightly", timeout=3_000, kills=1_000, engine_kills=10_000, rounds_of_calls=5, unseen_commits=200,
    crash_states=100_000, lost_syncs=2_000, map_bytes=64 << 20, growths=5, forks=500, openings=100_000,
    dead_readers=200, writes_after_dead_readers=10_000, stopped_readers=1_000, checks=100_000_000, clock_steps=1_000,
    key_rotations=20, rotation_reads=400_000, mutated_files=20_000, bad_replies=100, slow_replies=10, model_runs=5_000,
    expiries=500, early_refreshes=50, refresh_crashes=100,
)  # fmt: skip
SCALE = NIGHTLY if os.environ.get("WARMTOKEN_FAULTS") == "nightly" else PR
