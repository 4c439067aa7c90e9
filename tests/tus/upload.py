"""Uploads a file by tuspy, and goes on where it was however often the way breaks.

upload.py ENDPOINT TOKEN FILE PATH CHUNK_BYTES
"""

import sys
import time

from tusclient import client
from tusclient.exceptions import TusCommunicationError
from requests.exceptions import RequestException

endpoint, token, file, path, chunk = sys.argv[1:]
tus = client.TusClient(endpoint, headers={"Authorization": f"Bearer {token}"})


def persistent(work):
    for _ in range(600):
        try:
            return work()
        except (TusCommunicationError, RequestException) as error:
            print(f"once more: {error!r}", flush=True)
            time.sleep(0.1)
    raise SystemExit("it does not come to its end")


def uploader(**where):
    return tus.uploader(
        file, chunk_size=int(chunk), metadata={"path": path}, upload_checksum=True, **where
    )


first = uploader()
url = persistent(first.create_url)
# A new uploader asks the server where to go on, as after a crash of the client.
persistent(lambda: uploader(url=url).upload())
print(url)
