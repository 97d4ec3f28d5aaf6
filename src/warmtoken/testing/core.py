"""The parts of one identity provider that its endpoints share."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from warmtoken.testing.counters import Recorder
from warmtoken.testing.device import DeviceRequests
from warmtoken.testing.faults import Faults
from warmtoken.testing.settings import Settings
from warmtoken.testing.signing import KeyRing
from warmtoken.testing.state import Clients, Tokens, Users


class TimeSource(Protocol):
    """Anything that tells the time in Unix seconds, such as `warmtoken.testing.Clock`."""

    def time(self) -> float: ...


class SystemTime:
    """The time of the system."""

    def time(self) -> float:
        return time.time()


class Core:
    """Settings, memory, keys and counters of one provider; `issuer` is known once it listens."""

    def __init__(self, clock: TimeSource) -> None:
        self.issuer = ""
        self.clock = clock
        self.settings = Settings()
        self.users = Users()
        self.clients = Clients()
        self.tokens = Tokens()
        self.device_requests = DeviceRequests()
        self.keys = KeyRing()
        self.recorder = Recorder()
        self.faults = Faults()
        self.stopping = threading.Event()
