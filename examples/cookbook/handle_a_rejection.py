"""What came back to an artist, why, and sending it again from a folder.

python handle_a_rejection.py DATA USER [FOLDER]
"""

from __future__ import annotations

import sys

from databridge import Bridge, Transfer


def rejected(bridge: Bridge) -> list[Transfer]:
    me = bridge.me()
    name = me.get("on_behalf_of") or me["username"]
    return [one for one in bridge.list(state="rejected") if one.owner == name]


def send_again(bridge: Bridge, code: str, folder: str) -> int:
    bridge.add(code, folder)
    bridge.submit(code)
    return bridge.wait(code).revision


if __name__ == "__main__":
    with Bridge(sys.argv[1]) as store:
        artist = store.as_user(sys.argv[2])
        for transfer in rejected(artist):
            print(f"{transfer.code}, revision {transfer.revision}: {transfer.reason}")
            if len(sys.argv) > 3:
                revision = send_again(artist, transfer.code, sys.argv[3])
                print(f"{transfer.code} is in review again, as revision {revision}")
