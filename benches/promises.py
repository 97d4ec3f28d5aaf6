"""The promises about speed: what each is judged by, and who stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from benches import competitors as names
from benches import stampede, startup
from benches.markdown import duration, times
from benches.table import medians

HIT = "hit: same scopes and account"
OWN_HIT = "hit: client credentials"
SUBSET_HIT = "hit: subset of the cached scopes, again"
LOOKUP = "store: first lookup of a token in a process"
SUBSET_LOOKUP = "store: first lookup of a subset of the cached scopes"

HIT_IN_PURE_PYTHON, HIT_IN_MSAL, HIT_IN_EMPTY_METHODS = 2, 100, 4  # at least, at least, at most
LOOKUP_SECONDS, LOOKUP_GROWTH = 10e-6, 3
COHERENT_SECONDS = 2e-6
SUBSET_SECONDS, SUBSET_HIT_IN_HITS = 10e-6, 2
MISS_SECONDS = 10e-6
ADD_IN_COMMITS, STORES_OF_MANY = 1.3, 10
SLOWER_BY = 1_000  # microseconds for each sync
TWO_PROCESSES, EIGHT_PROCESSES = 1.9, 0.95
TWO = 2
STARTUP_SECONDS = 30e-3

_FEW_COMMITS = f"at most {ADD_IN_COMMITS} bare synced commits"


@dataclass(frozen=True, slots=True)
class Found:
    """What one run of everything left: pytest-benchmark's file and the figures of the load programs by name."""

    suite: dict[str, Any]
    loads: dict[str, dict[str, Any]]
    is_quick: bool

    @property
    def cases(self) -> dict[str, dict[str, float]]:
        """Seconds by case and competitor."""
        return medians(self.suite)

    @property
    def absent(self) -> list[str]:
        """The competitors that are not installed."""
        absent: list[str] = self.suite["machine_info"]["benches"]["absent"]
        return absent


@dataclass(frozen=True, slots=True)
class Row:
    """One promise; `peers` as people read them, `seconds` as programs do."""

    subject: str
    target: str
    ours: str
    is_met: bool
    peers: list[str] = field(default_factory=list[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def figures(self) -> dict[str, Any]:
        """Return everything but the subject and the target."""
        return {name: value for name, value in asdict(self).items() if name not in {"subject", "target"}}


def rows(found: Found) -> list[Row]:
    """Return all promises, judged."""
    return [row for judge in JUDGES for row in judge(found)]


def _timed(subject: str, target: str, ours: float, is_met: bool, peers: dict[str, float]) -> Row:
    beside = [f"{name} {duration(seconds)} ({times(seconds / ours)})" for name, seconds in peers.items()]
    return Row(subject, target, duration(ours), is_met, beside, {names.OURS: ours, **peers})


def _others(of_case: dict[str, float], *without: str) -> dict[str, float]:
    return {name: seconds for name, seconds in of_case.items() if name not in {names.OURS, *without}}


def _hits(found: Found) -> list[Row]:
    users, own = found.cases[HIT], found.cases[OWN_HIT]
    ours, empty = users[names.OURS], users[names.EMPTY]
    pure, msal = users[names.PURE] / ours, users[names.MSAL] / ours
    target = f"{HIT_IN_PURE_PYTHON}x faster than pure Python, {HIT_IN_MSAL}x than MSAL Python"
    is_met = pure >= HIT_IN_PURE_PYTHON and msal >= HIT_IN_MSAL
    least = f"at most {HIT_IN_EMPTY_METHODS} empty method calls"
    is_near = ours <= HIT_IN_EMPTY_METHODS * empty
    calls = f"{duration(ours)}, {ours / empty:.2g} calls"
    return [
        _timed("silent hit, same scopes and account", target, ours, is_met, _others(users, names.EMPTY)),
        _timed("hit of the client's own token", target, own[names.OURS], _own_is_met(own), _others(own, names.EMPTY)),
        Row("silent hit", least, calls, is_near, [f"{names.EMPTY} {duration(empty)}"], {names.OURS: ours, **users}),
    ]


def _own_is_met(own: dict[str, float]) -> bool:
    ours = own[names.OURS]
    return own[names.PURE] >= HIT_IN_PURE_PYTHON * ours and own[names.MSAL] >= HIT_IN_MSAL * ours


def _lookups(found: Found) -> list[Row]:
    case, scale = found.cases[LOOKUP], found.loads["scale"]
    [small, *_, large], at_most = _crowds(scale), f"at most {duration(LOOKUP_SECONDS)}"
    row = _timed(
        "first lookup of a token in a process, 2,000 tokens",
        at_most,
        case[names.OURS],
        case[names.OURS] <= LOOKUP_SECONDS,
        _others(case),
    )
    absent = [f"{name} not installed" for name in found.absent]
    judged = [Row(row.subject, row.target, row.ours, row.is_met, row.peers + absent, row.seconds)]
    for name, figure in (("", "lookup"), (", its page not mapped yet", "first_lookup")):
        first, last = scale[small][figure], scale[large][figure]
        judged.append(_timed(f"the same, {small} tokens{name}", at_most, first, first <= LOOKUP_SECONDS, {}))
        grown = f"{duration(last)}, {times(last / first)}"
        growth = f"at most {LOOKUP_GROWTH}x that of {small}"
        is_flat = last <= LOOKUP_GROWTH * first
        judged.append(Row(f"the same, {large} tokens{name}", growth, grown, is_flat, seconds={names.OURS: last}))
    return judged


def _crowds(scale: dict[str, Any]) -> list[str]:
    return [name for name in scale if "partition" not in name]


def _partition(scale: dict[str, Any]) -> str:
    [name] = [name for name in scale if "partition" in name]
    return name


def _coherence(found: Found) -> list[Row]:
    figures = found.loads["neighbours"]
    ours = figures["ours_beside_writer"]
    peers = {names.EXTENSIONS: figures["extensions_beside_writer"]}
    subject = f"lookup after another process wrote something else, {figures['accounts']:,} users"
    return [_timed(subject, f"at most {duration(COHERENT_SECONDS)}", ours, ours <= COHERENT_SECONDS, peers)]


def _subsets(found: Found) -> list[Row]:
    first, again, hit = found.cases[SUBSET_LOOKUP], found.cases[SUBSET_HIT], found.cases[HIT][names.OURS]
    ours, ours_again = first[names.OURS], again[names.OURS]
    at_most = f"at most {duration(SUBSET_SECONDS)}"
    as_a_hit = f"a hit: at most {SUBSET_HIT_IN_HITS} of them"
    is_hit = ours_again <= SUBSET_HIT_IN_HITS * hit
    return [
        _timed("subset of the cached scopes, 2,000 users", at_most, ours, ours <= SUBSET_SECONDS, _others(first)),
        _timed("the same again", as_a_hit, ours_again, is_hit, _others(again)),
    ]


def _misses(found: Found) -> list[Row]:
    scale, figures = found.loads["scale"], found.loads["neighbours"]
    partition = _partition(scale)
    ours = scale[partition]["miss"]
    peers = {f"{names.MSAL} at {figures['partition']:,}": figures["msal_miss"]}
    subject = f"a certain miss (the lookup), {partition}"
    return [_timed(subject, f"at most {duration(MISS_SECONDS)}", ours, ours <= MISS_SECONDS, peers)]


def _additions(found: Found) -> list[Row]:
    scale, figures = found.loads["scale"], found.loads["neighbours"]
    partition = _partition(scale)
    ours, bare = scale[partition]["add"], scale[partition]["bare_add"]
    peers = {
        "bare synced commit": bare,
        f"{names.MSAL} at {figures['users']:,} users, in memory": figures["msal_add"],
        f"{names.EXTENSIONS} at {figures['accounts']:,} users": figures["extensions_add"],
    }
    row = _timed(f"add one token to {partition}", _FEW_COMMITS, ours, ours <= ADD_IN_COMMITS * bare, peers)
    commits = f"{row.ours}, {ours / bare:.2f} commits"
    stores = found.loads["writes"]
    one, many = (stores[f"{threads} threads"]["stores_per_second"] for threads in (1, 64))
    return [Row(row.subject, row.target, commits, row.is_met, row.peers, row.seconds), _stores("64 threads", one, many)]


def _slower_disks(found: Found) -> list[Row]:
    figures = found.loads["slow_disks"][f"{SLOWER_BY} us"]
    later = f"where a sync takes {SLOWER_BY / 1000:g} ms longer"
    ours, bare = figures["add"], figures["bare_add"]
    commits = f"{duration(ours)}, {ours / bare:.2f} commits"
    peers = [f"bare synced commit {duration(bare)}"]
    return [
        Row(f"add one token, {later}", _FEW_COMMITS, commits, ours <= ADD_IN_COMMITS * bare, peers, {names.OURS: ours}),
        _stores(f"64 threads, {later}", figures["stores_1"], figures["stores_64"]),
    ]


def _stores(subject: str, one: float, many: float) -> Row:
    target = f"store at least {STORES_OF_MANY}x as much as one"
    return Row(subject, target, f"{many:,.0f} stores/s, {many / one:.1f}x", many >= STORES_OF_MANY * one)


def _processes(found: Found) -> list[Row]:
    figures = found.loads["processes"]
    counts = sorted(int(name.split()[1]) for name in figures if name.startswith("quiet"))
    one, two, most = (figures[f"quiet {count}"] for count in (1, TWO, counts[-1]))
    judged = [_rate("two processes", f"at least {TWO_PROCESSES}x one", two, two / one, TWO_PROCESSES)]
    if counts[-1] > TWO:  # a quick run has no more
        target = f"at least {EIGHT_PROCESSES} of two"
        judged.append(_rate(f"{counts[-1]} processes", target, most, most / two, EIGHT_PROCESSES))
    return judged


def _rate(subject: str, target: str, rate: float, ratio: float, least: float) -> Row:
    return Row(subject, target, f"{rate:,.0f} hits/s, {ratio:.2f}x", ratio >= least)


def _start(found: Found) -> list[Row]:
    figures = found.loads["startup"]
    ours, loaded = figures[startup.HIT]["seconds"], figures[startup.HIT]["loaded_of_late"]
    peers = {name: figures[name]["seconds"] for name in (startup.MSAL, startup.AZURE)}
    target = f"at most {duration(STARTUP_SECONDS)}, without {', '.join(startup.LATE)}"
    return [_timed(startup.HIT, target, ours, ours <= STARTUP_SECONDS and not loaded, peers)]


def _stampede(found: Found) -> list[Row]:
    figures = found.loads["stampede"]
    count = figures["processes"]
    ours, theirs = figures[names.OURS], figures[stampede.THEIRS]
    is_met = all(run["refreshes"] == 1 and run["successes"] == count and run["alive"] for run in ours)
    peer = f"{stampede.THEIRS}: {_summary(theirs, count)}"
    subject, target = f"{count} processes, one expired token, all at once", f"1 refresh, {count} tokens, session alive"
    return [Row(subject, target, _summary(ours, count), is_met, [peer])]


def _summary(runs: list[dict[str, Any]], count: int) -> str:
    refreshes = sum(run["refreshes"] for run in runs) / len(runs)
    successes = sum(run["successes"] for run in runs) / len(runs)
    alive = sum(run["alive"] for run in runs)
    tokens = f"{successes:.3g} of {count} with a token"
    return f"{refreshes:.3g} refresh requests, {tokens}, session alive in {alive} of {len(runs)} runs"


JUDGES: tuple[Callable[[Found], list[Row]], ...] = (
    _hits,
    _lookups,
    _coherence,
    _subsets,
    _misses,
    _additions,
    _slower_disks,
    _processes,
    _start,
    _stampede,
)
