"""One request within one deadline, whatever the other side does."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import zlib
from typing import TYPE_CHECKING

import pytest

from taskscope.shipper.destinations import Endpoint
from taskscope.shipper.http import Client, ProxyError, TornAnswerError
from tests.taskscope.otlp_sink import Fault, OtlpSink

from .certificates import make_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATH = "/v1/traces"
HEADERS = {"Content-Type": "application/x-protobuf"}


class Speaker:
    """Reads one request on each connection, then does what it was given: a server of any manners."""

    def __init__(self, speak: Callable[[socket.socket], object]) -> None:
        self._speak = speak
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):  # who has heard enough hangs up
                self.requests.append(connection.recv(65536))
                self._speak(connection)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def speak() -> Iterator[Callable[[bytes], Speaker]]:
    speakers: list[Speaker] = []

    def make(said: bytes) -> Speaker:
        speakers.append(Speaker(lambda connection: connection.sendall(said)))
        return speakers[-1]

    yield make
    for speaker in speakers:
        speaker.close()


def post(url: str, seconds: float = 30.0, **more: str) -> tuple[int, bytes]:
    client = Client(Endpoint(url=url, **more))  # type: ignore[arg-type]
    try:
        answer = client.post(url, b"", HEADERS, seconds)
    finally:
        client.close()
    return answer.status, answer.body


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_a_deadline_is_of_the_whole_request(sink: OtlpSink, kind: str) -> None:
    """A server that says nothing, or a byte now and then for ever, ends in TimeoutError."""
    sink.fail(Fault(kind))
    with pytest.raises(TimeoutError):
        post(sink.url + PATH, 0.3)


def test_a_server_that_does_not_read_is_given_up() -> None:
    """A body that nobody takes does not hold the sender beyond its deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(TimeoutError):
            Client(Endpoint(url=url)).post(url, b"x" * (64 << 20), HEADERS, 0.3)


def test_a_silent_tls_handshake_is_given_up() -> None:
    """A server that accepts and never greets ends in TimeoutError too."""
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TimeoutError):
        post(f"https://127.0.0.1:{listener.getsockname()[1]}/", 0.3)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Ty",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
    ],
)
def test_half_an_answer_is_none(speak: Callable[[bytes], Speaker], said: bytes) -> None:
    """Wherever it was cut, even where `http.client` takes it for whole: it raises."""
    with pytest.raises((TornAnswerError, http.client.HTTPException)):
        post(f"http://127.0.0.1:{speak(said).port}/")


@pytest.mark.parametrize("said", [b"", b"HTT", b"\x00\x00\x12\x04\x00\x00", b"SSH-2.0-x\r\n"])
def test_what_is_no_http_raises(speak: Callable[[bytes], Speaker], said: bytes) -> None:
    """A closed connection, a server of gRPC, another protocol."""
    with pytest.raises((OSError, http.client.HTTPException)):
        post(f"http://127.0.0.1:{speak(said).port}/")


def test_a_whole_answer_is_read(speak: Callable[[bytes], Speaker]) -> None:
    """With a length, in chunks, compressed though nobody asked, and none where the status says so."""
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"yes") + packer.flush()
    head = b"HTTP/1.1 200 OK\r\n"
    for said, expected in (
        (head + b"Content-Length: 3\r\n\r\nyes", (200, b"yes")),
        (head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n", (200, b"yes")),
        (
            head + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(packed), packed),
            (200, b"yes"),
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
    ):
        assert post(f"http://127.0.0.1:{speak(said).port}/") == expected


def test_an_endless_answer_is_not_read_to_its_end(speak: Callable[[bytes], Speaker]) -> None:
    """A megabyte of a page is enough, also of one that unpacks to a gigabyte."""
    page = b"x" * (3 << 20)
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(bytes(64 << 20)) + packer.flush()
    for said in (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(bomb), bomb),
    ):
        status, body = post(f"http://127.0.0.1:{speak(said).port}/")
        assert (status, len(body)) == (200, 1 << 20)


def test_a_connection_is_kept(sink: OtlpSink) -> None:
    """Three requests go over one connection; one that the server has closed is made anew, unseen."""
    client = Client(Endpoint(url=sink.url + PATH))
    sockets = set()
    for _ in range(3):
        assert client.post(sink.url + PATH, b"", HEADERS, 30.0).status == 200
        sockets.add(id(client._socket))
    assert len(sockets) == 1
    sink.fail(Fault("close"))  # what was kept is gone, and this request with it
    assert client.post(sink.url + PATH, b"", HEADERS, 30.0).status == 200
    client.close()
    assert sink.attempts == 5


def test_a_redirect_is_an_answer(sink: OtlpSink) -> None:
    """It is handed on and not followed."""
    sink.fail(Fault(status=307, headers={"Location": f"{sink.url}/v1/logs"}))
    assert post(sink.url + PATH)[0] == 307
    assert sink.attempts == 1


def test_nobody_there_raises() -> None:
    """A port without a listener is refused at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        post(f"http://127.0.0.1:{port}/")


def test_a_request_can_be_ended_from_outside(sink: OtlpSink) -> None:
    """`abort` from another thread ends one that waits for its answer."""
    sink.fail(Fault("hang"))
    client = Client(Endpoint(url=sink.url + PATH))
    errors: list[Exception] = []

    def run() -> None:
        try:
            client.post(sink.url + PATH, b"", HEADERS, 600.0)
        except (OSError, http.client.HTTPException) as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert sink.wait_for(lambda sink: sink.attempts >= 1)
    while not errors and thread.is_alive():  # the kept connection is tried once more, so it takes a second
        client.abort()
        thread.join(0.05)
    assert len(errors) == 1


def test_tls_is_verified(tmp_path: Path) -> None:
    """A certificate of an unknown authority is refused; with that authority named it is taken."""
    made = make_certificates(tmp_path)
    with OtlpSink(certificate=made.certificate, key=made.key) as sink:
        assert sink.url.startswith("https://")
        with pytest.raises(ssl.SSLCertVerificationError):
            post(sink.url + PATH)
        assert post(sink.url + PATH, certificate=str(made.authority))[0] == 200


def test_tls_and_plain_do_not_meet(tmp_path: Path, sink: OtlpSink) -> None:
    """Each side's mistake raises: nothing is taken for an answer."""
    with pytest.raises(ssl.SSLError):
        post(sink.url.replace("http://", "https://") + PATH)
    made = make_certificates(tmp_path)
    secure = OtlpSink(certificate=made.certificate, key=made.key)
    with secure, pytest.raises((OSError, http.client.HTTPException)):
        post(secure.url.replace("https://", "http://") + PATH)


def test_a_plain_request_goes_by_the_proxy(
    speak: Callable[[bytes], Speaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`http_proxy` gets the whole URL and its credentials; the destination's host is never looked up."""
    proxy = speak(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.setenv("http_proxy", f"http://ann:pw@127.0.0.1:{proxy.port}")
    assert post("http://nowhere.invalid:4318/v1/traces?a=b") == (200, b"")
    (request,) = proxy.requests
    assert request.startswith(b"POST http://nowhere.invalid:4318/v1/traces?a=b HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic YW5uOnB3\r\n" in request
    assert b"\r\nHost: nowhere.invalid:4318\r\n" in request


def test_a_secure_request_goes_through_a_tunnel(
    speak: Callable[[bytes], Speaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`https_proxy` is asked to connect; what it refuses is told with its words."""
    proxy = speak(b"HTTP/1.1 407 Who are you\r\n\r\n")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(ProxyError, match="407 Who are you"):
        post("https://nowhere.invalid/v1/traces")
    assert proxy.requests[0].startswith(b"CONNECT nowhere.invalid:443 HTTP/1.1\r\n")


def test_a_tunnel_carries_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy the destination's own certificate is verified."""
    made = make_certificates(tmp_path)
    with OtlpSink(certificate=made.certificate, key=made.key) as sink:
        proxy = Speaker(lambda client: _pipe(client, sink.port))
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
        assert post(sink.url + PATH, certificate=str(made.authority))[0] == 200
        proxy.close()
    assert proxy.requests[0].startswith(b"CONNECT 127.0.0.1:")


def _pipe(client: socket.socket, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as server:
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        _copy(client, server)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_a_host_may_be_spared_the_proxy(sink: OtlpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """`no_proxy` counts."""
    monkeypatch.setenv("http_proxy", "http://nowhere.invalid:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert post(sink.url + PATH)[0] == 200


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1"])
def test_a_proxy_of_another_kind_is_refused(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says which kinds there are."""
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(ProxyError, match="only http:// is spoken"):
        post("http://127.0.0.1:1/")
