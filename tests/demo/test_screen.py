from __future__ import annotations

import io

import pytest

from warmtoken.demo.screen import UP_AND_CLEAR, Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


def written(stream: io.StringIO) -> str:
    screen = Screen(stream, "header")
    screen.row("one", now=True)
    screen.line(screen.good("event"))
    screen.row("two", now=True)
    return stream.getvalue()


def test_off_a_terminal_there_are_plain_lines() -> None:
    assert written(io.StringIO()) == "header\none\nevent\ntwo\n"


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert written(Terminal()) == "header\none\nevent\ntwo\n"


def test_on_a_terminal_the_table_is_redrawn_below_events() -> None:
    parts = written(Terminal()).split(UP_AND_CLEAR)
    assert [part.count("\n") for part in parts] == [2, 3, 2]
    assert "event" in parts[1]
    assert parts[2].endswith("two\n")


def test_no_color_means_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = written(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" in coloured
    assert "m" not in written(Terminal()).replace("\x1b[2A\x1b[J", "").replace("header", "")


def test_lines_of_a_table_are_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "5")
    assert "head" in written(Terminal())
    assert "header" not in written(Terminal())


def test_rows_come_not_more_often_than_can_be_read() -> None:
    stream = io.StringIO()
    screen = Screen(stream, "header")
    screen.row("one", now=True)
    screen.row("two")
    assert stream.getvalue() == "header\none\n"
