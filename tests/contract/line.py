"""A line between a client and a server on this machine: as slow as it is told to be, and cut where it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

BLOCK_BYTES = 16 * 1024


class Line:
    """A proxy for TCP. `cut_after` bytes towards the server, counted over all connections, it breaks once.

    bytes_per_s: what goes towards the server in a second, over all connections.
    """

    def __init__(self, port: int, bytes_per_s: float | None = None, cut_after: int | None = None) -> None:
        self.carried_bytes = 0
        self._target = ("127.0.0.1", port)
        self._cut_after = cut_after
        self._seconds_per_byte = 1 / bytes_per_s if bytes_per_s else 0.0
        self._free_at = 0.0
        self._lock = threading.Lock()
        self._closing = False
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)  # so that it sees the end
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def through(self, url: str) -> str:
        """An address of the server, by way of this line."""
        return url.replace(f":{self._target[1]}", f":{self.port}", 1)

    def close(self) -> None:
        """Breaks what is still connected."""
        self._closing = True
        for end in self._ends:
            _shut(end)
        for thread in (self._accepting, *self._threads):
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._connect, args=(client,), daemon=True))
                self._threads[-1].start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            self._ends += [client, server]
            back = threading.Thread(target=self._carry, args=(server, client, False), daemon=True)
            back.start()
            self._carry(client, server, True)
            back.join()

    def _carry(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(BLOCK_BYTES):
                if up and self._is_cut(len(block)):
                    break
                target.sendall(block)
        _shut(source)
        _shut(target)

    def _is_cut(self, count: int) -> bool:
        with self._lock:
            self.carried_bytes += count
            if self._cut_after is not None and self.carried_bytes > self._cut_after:
                self._cut_after = None
                return True
            self._free_at = max(self._free_at, time.monotonic()) + count * self._seconds_per_byte
            wait_s = self._free_at - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        return False


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
