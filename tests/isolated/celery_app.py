"""Tasks that get a token each; run as a program it sends tasks to the workers and prints their answers as JSON.

Arguments: how many tasks, and how many seconds ahead they are.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery

QUEUE = os.environ["SERVER_QUEUE"]  # a directory

tasks = Celery(
    "celery_app",
    broker="filesystem://",
    backend=f"file://{QUEUE}/results",
    broker_transport_options={
        "data_folder_in": f"{QUEUE}/tasks",
        "data_folder_out": f"{QUEUE}/sent",
        "control_folder": f"{QUEUE}/control",
        "polling_interval": 0.05,
    },
    broker_connection_retry_on_startup=True,
)

if __name__ != "__main__":
    import server_app  # in the parent of the workers: there the cache is open before it forks


@tasks.task(name="acquire")
def acquire(ahead: float) -> dict[str, Any]:
    return server_app.acquire(ahead)


def main(count: int, ahead: float) -> None:
    sent = [acquire.delay(ahead) for _ in range(count)]
    for message in Path(QUEUE, "sent").iterdir():  # a worker that reads a message while it is being written ends
        message.rename(Path(QUEUE, "tasks", message.name))
    print(json.dumps([result.get(timeout=90, interval=0.02) for result in sent]))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
