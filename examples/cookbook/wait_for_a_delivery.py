"""A farm job that waits until a transfer is delivered, and fails where it never will be.

DATABRIDGE_TOKEN=dbk_… python wait_for_a_delivery.py URL CODE [TIMEOUT_SECONDS]
"""

from __future__ import annotations

import os
import sys
import time

from databridge import Client, TransferDetail

_OVER = {"delivered", "cancelled", "rejected", "infected"}


def wait(client: Client, code: str, timeout: float) -> TransferDetail:
    deadline = time.monotonic() + timeout
    seen = -1
    while True:
        found = client.show(code)
        if found.state in _OVER or found.state.endswith("_failed"):
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{code} is still {found.state}")
        # The daemon answers as soon as something happens.
        for event in client.history(code, after=seen, wait=max(1, int(min(left, 30)))):
            seen = event.position


if __name__ == "__main__":
    daemon = Client(sys.argv[1], api_key=os.environ["DATABRIDGE_TOKEN"])
    limit = float(sys.argv[3]) if len(sys.argv) > 3 else 24 * 3600.0
    delivered = wait(daemon, sys.argv[2], limit)
    print(delivered.state, delivered.destination or delivered.reason)
    sys.exit(0 if delivered.state == "delivered" else 1)
