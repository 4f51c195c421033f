"""A kept line to a server: what it carries, and that each call ends once, whatever the other end does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.http_line import Line, target
from tests.contract.part_process import free_port

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Run = Callable[[Coroutine[Any, Any, None]], None]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    runs: Run = request.param
    return runs


class Server:
    """Answers each call by what `answer` makes of its body; how often somebody connected, and what came."""

    def __init__(self, answer: Callable[[bytes], list[bytes]], *, hang_up: bool = False) -> None:
        self.answer = answer
        self.hang_up = hang_up
        self.connections = 0
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
                for part in self.answer(await reader.readexactly(length)):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.002)
                if self.hang_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> Any:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def exchange(line: Line, url: str, body: str) -> bytes:
    """What a call brings. Raises what it ended with."""
    ended: list[bytes | Exception] = []
    over = asyncio.Event()

    def end(outcome: bytes | Exception) -> None:
        ended.append(outcome)
        over.set()

    line.carry(target(url, ("Authorization", "Bearer t")), body, end)
    await asyncio.wait_for(over.wait(), 5)
    await asyncio.sleep(0)
    assert len(ended) == 1
    if isinstance(ended[0], Exception):
        raise ended[0]
    return ended[0]


def whole(body: bytes) -> list[bytes]:
    return [OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)]


def in_chunks(body: bytes) -> list[bytes]:
    parts = [b"1\r\n%c\r\n" % byte for byte in body]
    return [OK + b"Transfer-Encoding: chunked\r\n\r\n", *parts, b"0\r\n\r\n"]


def byte_by_byte(body: bytes) -> list[bytes]:
    return [b"%c" % byte for byte in whole(body)[0]]


def with_another_status(body: bytes) -> list[bytes]:
    return [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)]


@pytest.mark.parametrize("answer", [whole, in_chunks, byte_by_byte, with_another_status])
def test_one_connection_carries_one_call_after_another(run: Run, answer: Callable[[bytes], list[bytes]]) -> None:
    async def play() -> None:
        server = Server(answer)
        async with listening(server.serve) as url:
            line = Line(ssl.create_default_context())
            for word in ('["canção"]', "[]", '["a", "b"]'):
                assert (await exchange(line, f"{url}/pipeline", word)).decode() == word
                assert not line.spent
            line.abort()
            await asyncio.sleep(0.01)
        assert server.connections == 1
        assert server.heads[0].startswith("POST /pipeline HTTP/1.1\r\nHost: 127.0.0.1:")
        assert "\r\nAuthorization: Bearer t\r\n" in server.heads[0]

    run(play())


def closing(body: bytes) -> list[bytes]:
    return [OK + b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)]


@pytest.mark.parametrize(("answer", "hang_up"), [(closing, False), (closing, True), (whole, True)])
def test_after_a_server_has_said_or_shown_that_it_ends_a_line_is_spent(
    run: Run, answer: Callable[[bytes], list[bytes]], hang_up: bool
) -> None:
    async def play() -> None:
        async with listening(Server(answer, hang_up=hang_up).serve) as url:
            line = Line(ssl.create_default_context())
            assert await exchange(line, url, "[1]") == b"[1]"
            await asyncio.sleep(0.05)
            assert line.spent
            line.abort()

    run(play())


def test_a_line_that_was_idle_for_a_minute_is_spent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.http_line.IDLE_MOST_S", 0.02)

    async def play() -> None:
        async with listening(Server(whole).serve) as url:
            line = Line(ssl.create_default_context())
            await exchange(line, url, "[1]")
            assert not line.spent
            await asyncio.sleep(0.03)
            assert line.spent
            line.abort()

    run(play())


def half(body: bytes) -> list[bytes]:
    return [OK + b"Content-Length: 1000\r\n\r\nhalf"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(half, ConnectionError), (lambda _: [], ConnectionError), (lambda _: [b"\x16\x03 what?\r\n\r\n"], ValueError)],
    ids=["half an answer", "none", "no HTTP"],
)
def test_a_call_that_brings_no_answer_ends_with_an_error_and_the_line_with_it(
    run: Run, answer: Callable[[bytes], list[bytes]], error: type[Exception]
) -> None:
    async def play() -> None:
        async with listening(Server(answer, hang_up=True).serve) as url:
            line = Line(ssl.create_default_context())
            with pytest.raises(error):
                await exchange(line, url, "[1]")
            await asyncio.sleep(0.01)
            assert line.spent
            line.abort()

    run(play())


def test_an_answer_that_nobody_asked_for_is_given_to_nobody_and_ends_the_line(run: Run) -> None:
    async def play() -> None:
        async with listening(Server(lambda body: whole(body) + whole(b"[2]")).serve) as url:
            line = Line(ssl.create_default_context())
            assert await exchange(line, url, "[1]") == b"[1]"
            await asyncio.sleep(0.05)
            assert line.spent
            line.abort()

    run(play())


def test_where_nobody_listens_the_call_ends_with_an_error(run: Run) -> None:
    async def play() -> None:
        line = Line(ssl.create_default_context())
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await exchange(line, f"http://127.0.0.1:{free_port()}", "[1]")
        assert line.spent

    run(play())


def test_a_call_that_is_aborted_ends_at_once_while_opening_and_while_waiting(run: Run) -> None:
    async def play() -> None:
        async with listening(Server(lambda _: []).serve) as url:
            for after_s in (0, 0.05):
                line = Line(ssl.create_default_context())
                calling = asyncio.ensure_future(exchange(line, url, "[1]"))
                await asyncio.sleep(after_s)
                line.abort()
                with pytest.raises(ConnectionAbortedError):
                    await calling
                assert line.spent
            await asyncio.sleep(0.01)

    run(play())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, signed by itself, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    formats = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, *formats)
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_over_tls_only_a_server_that_is_vouched_for_gets_the_call(run: Run, certificate: Path) -> None:
    async def play() -> None:
        server, tls = Server(whole), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        async with listening(server.serve, tls) as url:
            stranger = Line(ssl.create_default_context())
            with pytest.raises(ssl.SSLCertVerificationError):
                await exchange(stranger, url, "[1]")
            assert server.heads == []
            known = Line(ssl.create_default_context(cafile=certificate))
            assert await exchange(known, url, "[1]") == b"[1]"
            assert await exchange(known, url, "[2]") == b"[2]"
            known.abort()
            await asyncio.sleep(0.01)

    run(play())
