"""Interrupts a call, as Ctrl-C does, at one place after the other: signals are seen when a call begins or returns."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType


class Interrupted(BaseException):
    """What Ctrl-C raises, but for tests."""


def interrupted_everywhere(
    call: Callable[[], object], module: ModuleType, *, but_in: tuple[str, ...] = ()
) -> Iterator[int]:
    """Call again and again, interrupted at the first, second, … place in a module, until it is not; yield after each.

    `but_in` are functions that are not interrupted.
    """
    number = 0
    while _is_interrupted(call, module, number, but_in):
        yield number
        number += 1
    assert number > 1


def _is_interrupted(call: Callable[[], object], module: ModuleType, after: int, but_in: tuple[str, ...]) -> bool:
    passed = [0]

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if code.co_filename == module.__file__ and code.co_name not in but_in and event in ("call", "c_return"):
            passed[0] += 1
            if passed[0] > after:
                sys.setprofile(None)
                raise Interrupted

    before = sys.getprofile()
    gc.disable()  # an exception in what it finalizes would be lost
    sys.setprofile(profile)
    try:
        call()
    except Interrupted:
        return True
    finally:
        sys.setprofile(before)
        gc.enable()
    return False
