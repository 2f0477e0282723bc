"""One HTTP request within one deadline, whatever the other side does: hangs, drips, resets, redirects.

`http.client` bounds single reads, so that a server which sends a byte a second holds a caller for ever. Here
every wait on the socket gets what is left of the whole request's time. Loaded by the shipping thread alone:
with ssl it takes 22 ms to import; requests takes 80.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit, urlunsplit

from .destinations import basic_credentials

if TYPE_CHECKING:
    from .destinations import Endpoint

_STALE = (ConnectionError, http.client.BadStatusLine, ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""What it looks like when a server closed a connection that we kept."""
_ANSWER_LIMIT_BYTES = 1 << 20
"""More than any OTLP answer; a web page may be longer, and is not read to its end."""


class Answer(NamedTuple):
    """What a server said, whole."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class TornAnswerError(OSError):
    """The answer ended before it was complete, or is no HTTP."""


class ProxyError(OSError):
    """The proxy did not let us through."""


class Deadline:
    """A moment on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; TimeoutError when there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            msg = "no answer in time"
            raise TimeoutError(msg)
        return left


class _Bounded:
    """What makes a socket give up at the deadline of the request that uses it."""

    deadline: Deadline

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.deadline.left())  # type: ignore[attr-defined]
        return super().recv_into(*args, **kwargs)  # type: ignore[misc,no-any-return]

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.deadline.left())  # type: ignore[attr-defined]
        return super().send(*args, **kwargs)  # type: ignore[misc,no-any-return]


class _Socket(_Bounded, socket.socket):
    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self.settimeout(self.deadline.left())  # which socket.sendall takes for the whole of it
        super().sendall(data, flags)


class _TLSSocket(_Bounded, ssl.SSLSocket):
    """Its `sendall` calls `send` until all is sent."""


class Client:
    """Keeps one connection to a server; for one thread, but anybody may call `abort`.

    The endpoint says where that server is and how it is trusted.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._url = urlsplit(endpoint.url)
        self._proxy = _find_proxy(self._url)
        self._context: ssl.SSLContext | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._socket: _Socket | _TLSSocket | None = None

    def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        """What the server answers, within so many seconds; OSError or HTTPException when it does not.

        A connection that was kept may have been closed by the server meanwhile: then once more on a new one.
        """
        deadline = Deadline(seconds)
        if self._connection is not None:
            with contextlib.suppress(*_STALE):
                return self._exchange(self._connection, url, body, headers, deadline)
        return self._exchange(self._connect(deadline), url, body, headers, deadline)

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abort(self) -> None:
        """End a request that is on its way in another thread."""
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # SSLSocket's own would forget its TLS first

    def _connect(self, deadline: Deadline) -> http.client.HTTPConnection:
        self.close()
        url, proxy = self._url, self._proxy
        via = proxy or url
        sock = self._socket = _open(str(via.hostname), _port(via), deadline)
        try:
            if proxy is not None and url.scheme == "https":
                _open_tunnel(sock, url, proxy)
            if url.scheme == "https":
                self._socket = self._wrap(sock, deadline)
        except BaseException:
            sock.close()
            raise
        connection = http.client.HTTPConnection(str(url.hostname), _port(url))
        connection.auto_open = 0  # it would connect without a deadline
        connection.sock = self._socket
        self._connection = connection
        return connection

    def _wrap(self, sock: _Socket, deadline: Deadline) -> _TLSSocket:
        if self._context is None:
            self._context = _make_context(self._endpoint)
        sock.settimeout(deadline.left())  # the handshake as a whole
        wrapped = self._context.wrap_socket(sock, server_hostname=self._url.hostname)
        assert isinstance(wrapped, _TLSSocket)
        return wrapped

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        deadline: Deadline,
    ) -> Answer:
        assert self._socket is not None
        self._socket.deadline = deadline
        try:
            connection.request("POST", self._target(url), body, {**headers, **self._proxy_headers()})
            response = connection.getresponse()
            answer = _read(response)
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return answer

    def _target(self, url: str) -> str:
        """What stands in the request's first line: a plain proxy wants the whole URL."""
        if self._proxy is not None and self._url.scheme == "http":
            return url
        return urlunsplit(urlsplit(url)._replace(scheme="", netloc="")) or "/"

    def _proxy_headers(self) -> Mapping[str, str]:
        return _credentials(self._proxy) if self._proxy is not None and self._url.scheme == "http" else {}


def _make_context(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=endpoint.certificate)
    if endpoint.client_certificate:
        context.load_cert_chain(endpoint.client_certificate, endpoint.client_key)
    context.sslsocket_class = _TLSSocket
    return context


def _open(host: str, port: int, deadline: Deadline) -> _Socket:
    """A connected socket; every address of the host is tried, all within the deadline."""
    problem: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = _Socket(family, kind, protocol)
        sock.deadline = deadline
        try:
            sock.settimeout(deadline.left())
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            problem = problem or error
        else:
            return sock
    raise problem or OSError(f"{host!r} has no address")


def _open_tunnel(sock: _Socket, url: SplitResult, proxy: SplitResult) -> None:
    """Have the proxy pass bytes on to the destination, unread."""
    host = f"[{url.hostname}]" if ":" in str(url.hostname) else str(url.hostname)
    place = f"{host}:{_port(url)}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    lines += [f"{name}: {value}" for name, value in _credentials(proxy).items()]
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    response = http.client.HTTPResponse(sock, method="CONNECT")
    response.begin()
    if response.status != http.client.OK:
        msg = f"the proxy {proxy.hostname}:{_port(proxy)} answers {response.status} {response.reason}"
        raise ProxyError(msg)


def _read(response: http.client.HTTPResponse) -> Answer:
    """The whole answer; TornAnswerError when its end is missing.

    `http.client` takes the end of the connection for the end of the headers, and a body without a length
    for complete: a reply that was cut in half would read as an empty one, which is OTLP's word for yes.
    """
    is_framed = response.length is not None or response.chunked
    try:
        body = response.read(_ANSWER_LIMIT_BYTES)
    except http.client.IncompleteRead as error:
        msg = "the answer ended before it was complete"
        raise TornAnswerError(msg) from error
    if not is_framed or (response.length and len(body) < _ANSWER_LIMIT_BYTES):
        msg = "the answer ended before it was complete"
        raise TornAnswerError(msg)
    if len(body) >= _ANSWER_LIMIT_BYTES:
        response.will_close = True  # the rest is not wanted
    headers = {name.lower(): value for name, value in response.getheaders()}
    if headers.get("content-encoding", "identity").lower() in {"gzip", "deflate"}:
        body = _unpack(body)
    return Answer(response.status, headers, body)


def _unpack(body: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=47).decompress(
            body, _ANSWER_LIMIT_BYTES
        )  # 47: gzip or zlib, by its head
    except zlib.error as error:
        msg = f"the answer cannot be unpacked: {error}"
        raise TornAnswerError(msg) from error


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    return {"Proxy-Authorization": basic_credentials(proxy)}


def _find_proxy(url: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for this URL; ProxyError for one that we cannot speak to."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # the usual case need not load urllib.request: 5 ms, maybe of a program's end
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    text = proxies.get(url.scheme) or proxies.get("all")
    if not text or proxy_bypass(url.netloc.rpartition("@")[2], proxies):
        return None
    proxy = urlsplit(text if "://" in text else f"http://{text}")
    if proxy.scheme != "http" or not proxy.hostname:
        msg = f"{url.scheme}_proxy names a proxy of scheme {proxy.scheme!r}: only http:// is spoken"
        raise ProxyError(msg)
    return proxy
