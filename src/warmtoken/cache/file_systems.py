"""Refuses file systems on which processes cannot share a mapped file and its locks."""

from __future__ import annotations

import os
from pathlib import Path

from warmtoken import _engine
from warmtoken.errors import CacheRefusedError

# statfs(2) and linux/magic.h: mappings or locks of these are not coherent, between machines or at all.
_REFUSED = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB",
    0x65735546: "FUSE",
    0x01021997: "9p",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x73757245: "Coda",
    0x0BD00BD0: "Lustre",
    0x786F4256: "a shared folder of VirtualBox",
}


def refuse_network_file_system(directory: Path) -> None:
    """Raise CacheRefusedError where `directory`, or what of its path is there, is on a network or virtual file system.

    LMDB needs mappings and locks that all processes see at once (lmdb.h, "Caveats").
    """
    kind = _kind_of(Path(os.path.abspath(directory)))
    if kind in _REFUSED:
        raise CacheRefusedError(
            "file_system_refused",
            f"expected {directory} on a file system of this machine, it is on {_REFUSED[kind]}, where processes cannot "
            "share a mapped file; choose a path on a local disk or on tmpfs",
        )


def _kind_of(directory: Path) -> int:
    for part in (directory, *directory.parents):
        try:
            return _engine.file_system(part)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            break  # whoever opens the directory says it better
    return 0
