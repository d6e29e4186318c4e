"""Serve the page to the browser of this machine: on loopback, to be read only, nothing that is not listed."""

import errno
import shutil
import socketserver
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from jacdb import interruption
from jacdb.errors import JacdbError, UsageError
from jacdb.explorer import byte_range
from jacdb.explorer.data_files import DataFiles
from jacdb.explorer.page import POLICY
from jacdb.explorer.resources import Resource, Resources
from jacdb.explorer.scenes import SceneMaker
from jacdb.explorer.subject import GoneError, Subject

LOOPBACK = "127.0.0.1"
_CHUNK = 2**20  # bytes sent at once
_PLAIN = "text/plain; charset=utf-8"
_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Server(ThreadingHTTPServer):
    """The explorer's server, bound to loopback; ``serve_forever`` serves until it is interrupted."""

    allow_reuse_port = False

    def __init__(self, resources: Resources, port: int = 0) -> None:
        """
        Args:
            resources: what it serves.
            port: 0 for any that is free.

        Raises:
            UsageError: the port is in use, or may not be taken.
        """
        self.resources = resources
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            in_use = getattr(error, "errno", None) == errno.EADDRINUSE
            said = "is in use" if in_use else "can't be served on"
            raise UsageError(f"--port {port} {said}: give another, or leave it out for a free one") from error

    def server_bind(self) -> None:
        """Bind the address; the base class would ask the network for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over what ends a connection: browsers leave in the middle of an answer."""

    @property
    def address(self) -> str:
        """The page's address."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    @property
    def hosts(self) -> set[str]:
        """The values of Host that are answered: a name of another host that leads here is none of them."""
        names = {LOOPBACK, "localhost"}
        return {f"{name}:{self.server_port}" for name in names} | (names if self.server_port == 80 else set())


@contextmanager
def serving(subject: Subject, page: Path, maker: SceneMaker | None, port: int = 0) -> Iterator[Server]:
    """Yield a server of the page and of a dataset; what is made for the page is removed when the context ends.

    Args:
        subject: what is explored.
        page: the folder of the built page.
        maker: makes scenes; None where there is no simulator.
        port: 0 for any that is free.

    Raises:
        UsageError: the port can't be had.
    """
    folder = Path(tempfile.mkdtemp(prefix="jacdb-explore-"))

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    try:
        with interruption.at_stop(remove):
            resources = Resources(page, DataFiles(subject, folder, maker), subject)
            with Server(resources, port) as server:
                yield server
    finally:
        remove()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "jacdb", ""
    error_content_type, error_message_format = _PLAIN, "%(code)d %(message)s\n"
    timeout = 60  # seconds that a connection may be idle
    _begun = False  # whether the present answer is on its way

    def do_GET(self) -> None:
        self._give()

    def do_HEAD(self) -> None:
        self._give()

    def _refuse_method(self) -> None:
        self.close_connection = True  # its body is not read
        self._say(405, "only GET and HEAD are answered", {"Allow": "GET, HEAD", "Connection": "close"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse_method

    def log_message(self, format: str, *args: object) -> None:
        pass

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _give(self) -> None:
        """Answer GET and HEAD."""
        self._begun = False
        host, *more = self.headers.get_all("Host", [""])
        if more or host.lower() not in self.server.hosts:
            self._say(403, f"this serves {self.server.address} alone")
            return
        path = self.path.partition("?")[0].partition("#")[0]
        if not path.startswith("/"):
            self._say(400, "give a path")
            return
        try:
            with self.server.resources.open(unquote(path[1:])) as resource:
                if resource is None:
                    self._say(404, "there is no such file")
                else:
                    self._send(resource)
        except UsageError as error:
            self._say(404, str(error))
        except GoneError as error:
            self._say(410, str(error))
        except (JacdbError, OSError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Tell a failure, if nothing was sent yet; else end the connection, so that the answer is seen to be cut."""
        self.close_connection = True
        if not self._begun:
            self._say(500, str(error))

    def _send(self, resource: Resource) -> None:
        asked = byte_range.wanted(self.headers.get("Range"), resource.size)
        headers = {"Accept-Ranges": "bytes", "Cache-Control": "no-cache" if resource.fixed else "no-store"}
        if asked is not None and not asked:
            self._say(416, "no such bytes", headers | {"Content-Range": f"bytes */{resource.size}"})
            return
        sent = range(resource.size) if asked is None else asked
        if asked is not None:
            headers["Content-Range"] = f"bytes {sent.start}-{sent.stop - 1}/{resource.size}"
        self._head(200 if asked is None else 206, resource.media_type, len(sent), headers)
        if self.command != "HEAD":
            for chunk in _chunks(resource.stream, sent):
                self.wfile.write(chunk)

    def _say(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        body = f"{text}\n".encode(errors="replace")
        self._head(status, _PLAIN, len(body), {"Cache-Control": "no-store"} | (headers or {}))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, media_type: str, size: int, headers: dict[str, str]) -> None:
        self._begun = True
        self.send_response(status)
        for name, value in {"Content-Type": media_type, "Content-Length": str(size), **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _chunks(stream: BinaryIO, sent: range) -> Iterator[bytes]:
    """Yield some bytes of a file.

    Raises:
        OSError: it has become shorter.
    """
    stream.seek(sent.start)
    left = len(sent)
    while left:
        chunk = stream.read(min(_CHUNK, left))
        if not chunk:
            raise OSError("the file has become shorter")
        left -= len(chunk)
        yield chunk
