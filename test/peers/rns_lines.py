"""What the test programs on the Python reference share: JSON lines on stdout, and channel messages of bare bytes."""
import json
import threading
import time

import RNS

_lock = threading.Lock()


def emit(event, **fields):
    with _lock:
        print(json.dumps({"event": event, "t": time.time(), **fields}), flush=True)


class Bytes(RNS.MessageBase):
    """Subclasses say their MSGTYPE."""

    def __init__(self, data=b""):
        self.data = data

    def pack(self):
        return self.data

    def unpack(self, raw):
        self.data = raw
