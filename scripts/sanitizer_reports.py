"""Fails where a sanitizer or memcheck found something: prints each report that goes through our code or liblmdb once.

Usage: python scripts/sanitizer_reports.py DIRECTORY of the reports that the processes of a run left.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

OURS = re.compile(r"_engine\.\S*\.so|liblmdb|_engine\.c\b|native\.h\b")
ERROR = re.compile(r"<error>.*?</error>", re.DOTALL)
LEAK = re.compile(r"^(Direct|Indirect) leak of ", re.MULTILINE)
TRACED = "LeakSanitizer does not work under ptrace"  # its tracer failed, below strace or by itself


def of_sanitizer(report: str) -> list[str]:
    """Return what concerns us: any error, wherever it is, but only those leaks whose memory we or LMDB asked for."""
    if "LeakSanitizer: detected memory leaks" not in report:
        return [] if TRACED in report else [report]
    parts = re.split(r"\n(?=Direct leak of |Indirect leak of )", report)
    return [part for part in parts if LEAK.match(part) and OURS.search(part)]


def of_memcheck(report: Path) -> list[str]:
    """Return the errors with a frame of ours or of liblmdb in one of their stacks."""
    # The file of a process that fork made has no head, that of one that was killed has no end: take the errors alone.
    errors = ERROR.findall(report.read_text(errors="replace"))
    readable = [_readable(ET.fromstring(error)) for error in errors]  # noqa: S314  valgrind wrote it just now
    return [text for text in readable if OURS.search(text)]


def _readable(error: ET.Element) -> str:
    lines = [error.findtext("kind", "?"), *(element.text or "" for element in error.iter("what"))]
    lines += [element.text or "" for element in error.iter("text")]
    for frame in error.iter("frame"):
        lines.append(f"    {frame.findtext('fn', '?')} ({frame.findtext('file', '')}:{frame.findtext('line', '')}) "
                     f"{frame.findtext('obj', '')}")  # fmt: skip
    return "\n".join(lines)


def main(directory: str) -> int:
    reports = sorted(path for path in Path(directory).iterdir() if path.is_file() and path.stat().st_size)
    found = dict.fromkeys(
        text
        for path in reports
        for text in (of_memcheck(path) if path.suffix == ".xml" else of_sanitizer(path.read_text(errors="replace")))
    )
    for text in found:
        sys.stdout.write(f"{text}\n\n")
    sys.stdout.write(f"{len(reports)} processes wrote reports; {len(found)} findings in the extension or liblmdb\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
