"""Asks the node before an agent acts. Standard library only: copy this file into your harness.

    guard = GuardClient("/home/u/.spine/api.sock", agent="my-agent")
    answer = guard.check({"action_type": "shell", "target": "git push"})
    if not answer["allowed"]:
        raise PermissionError(answer["message"])

`check` never raises and never waits beyond its deadline: whatever goes wrong is an answer with `allowed` false.
One client serves one thread at a time; others wait their turn.

    python3 guard_client.py SOCKET ACTION_TYPE TARGET      prints the answer; exit code 0 allowed, 2 denied
"""
import http.client
import json
import os
import socket
import sys
import threading
import time


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class GuardClient:
    """deadline: seconds; should be shorter than the harness's own, whose time-out may let the tool run."""

    def __init__(self, path, agent=None, session=None, deadline=5.0):
        self._path = path
        self._common = {k: v for k, v in (("agent_id", agent), ("session_id", session)) if v}
        self._deadline = deadline
        self._lock = threading.Lock()
        self._connection = None

    def check(self, action):
        body = json.dumps({"cwd": os.getcwd(), **self._common, **action}).encode()
        until = time.monotonic() + self._deadline
        try:
            if not self._lock.acquire(timeout=self._deadline):
                raise TimeoutError("another request takes too long")
            try:
                status, text = self._ask(body, until)
            finally:
                self._lock.release()
            answer = json.loads(text)
            # Only a 200 that says so allows.
            return {"message": "denied", **answer, "allowed": status == 200 and answer.get("allowed") is True}
        except Exception as error:  # whatever it is, it is no permission
            return {
                "allowed": False, "verdict": "deny", "ask": False, "guard": "client", "severity": "critical",
                "reason": "unreachable", "message": f"The guards cannot be asked: {error}",
            }

    def _ask(self, body, until):
        kept = self._connection is not None
        try:
            return self._send(body, until)
        except (ConnectionError, http.client.BadStatusLine):
            # A kept connection that went away between two requests: asking again is safe, at worst there is one receipt more.
            self._drop()
            if not kept:
                raise
            return self._send(body, until)
        except Exception:
            self._drop()
            raise

    def _send(self, body, until):
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        if self._connection is None:
            self._connection = _UnixConnection(self._path, left)
        elif self._connection.sock is not None:
            self._connection.sock.settimeout(left)
        self._connection.request("POST", "/v1/check", body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, response.read(4_194_304)

    def _drop(self):
        if self._connection is not None:
            self._connection.close()
        self._connection = None


if __name__ == "__main__":
    path, action_type, target = sys.argv[1:4]
    result = GuardClient(path).check({"action_type": action_type, "target": target})
    print(json.dumps(result))
    sys.exit(0 if result["allowed"] else 2)
