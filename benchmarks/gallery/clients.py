"""Clients: one request after the other with the time of its first byte, and many connections at once."""

from __future__ import annotations

import asyncio
import http.client
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.gallery.addresses import Make

TIMEOUT = 60.0  # seconds
OK = 200


@dataclass
class Requests:
    """Requests of many connections."""

    seconds: list[float] = field(default_factory=list)  # of each request that was answered
    failures: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.seconds) + len(self.failures)


def first_bytes(
    host: str,
    port: int,
    pages: Mapping[str, Make],
    rounds: Mapping[str, int],
    pauses: Mapping[str, float],
    warm: int = 1,
) -> dict[str, list[float]]:
    """Return the seconds to the first byte of each request, by page, on one connection.

    In each round every page is asked for once, in an order that differs from round to round.

    Parameters
    ----------
    rounds
        Number of requests of each page.
    pauses
        Seconds to wait before each request of some pages.
    warm
        Rounds before, which don't count.

    Raises
    ------
    RuntimeError
        A page has another status than 200.
    """
    generator = random.Random(0)  # noqa: S311
    seconds: dict[str, list[float]] = {name: [] for name in pages}
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    for number in range(-warm, max(rounds.values())):
        names = [name for name in pages if number < rounds[name]]
        for name in generator.sample(names, len(names)):
            address = pages[name](generator)
            time.sleep(pauses.get(name, 0))
            began = time.perf_counter()
            connection.request("GET", address)
            response = connection.getresponse()
            took = time.perf_counter() - began
            body = response.read()
            if response.status != OK:
                raise RuntimeError(f"{address}: {response.status} {body[-1000:].decode(errors='replace')}")
            if number >= 0:
                seconds[name].append(took)
    connection.close()
    return seconds


def percentile(seconds: Sequence[float], percent: int) -> float:
    """Return a percentile; of a single value, the value."""
    if len(seconds) == 1:
        return seconds[0]
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def load(
    host: str,
    port: int,
    addresses: Sequence[Make],
    connections: int,
    seconds: float = float("inf"),
    most: float = float("inf"),
) -> Requests:
    """Send requests on many connections at once, each the next one when it is answered, for some seconds, or until
    there are ``most``. A connection that fails is opened again."""
    return asyncio.run(_load(host, port, addresses, connections, seconds, most))


async def _load(
    host: str, port: int, addresses: Sequence[Make], connections: int, seconds: float, most: float
) -> Requests:
    done, end, sent = Requests(), time.monotonic() + seconds, 0

    async def client(number: int) -> None:
        nonlocal sent
        generator = random.Random()  # noqa: S311 - other addresses in each call
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while time.monotonic() < end and sent < most:
            sent += 1
            address = generator.choice(addresses)(generator)
            began = time.perf_counter()
            try:
                async with asyncio.timeout(TIMEOUT):
                    streams = streams or await asyncio.open_connection(host, port)
                    status = await _request(*streams, f"{host}:{port}", address)
                if status != OK:
                    raise ConnectionError(f"status {status}")
                done.seconds.append(time.perf_counter() - began)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                done.failures.append(f"{address}: {error!r}")
                if streams:
                    streams[1].close()
                streams = None
        if streams:
            streams[1].close()

    await asyncio.gather(*(client(number) for number in range(connections)))
    return done


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, address: str) -> int:
    """Send a request, read the whole response, and return its status."""
    writer.write(f"GET {address} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    await reader.readexactly(int(headers["content-length"]))
    return int(status.split()[1])
