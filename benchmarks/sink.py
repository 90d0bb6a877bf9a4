"""A recipient that costs as little as can be: raw asyncio and httptools, in a process of its own.

Every POST is answered 200 with the default contract's receipt. Prints its port, then runs until its input ends.
"""

import asyncio
import sys
from typing import Any

import httptools
import uvloop


class Sink(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._id = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"webhook-id":
            self._id = value

    def on_message_complete(self) -> None:
        body = b'{"received":"%s"}' % self._id
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def start_sink() -> tuple[asyncio.subprocess.Process, int]:
    """A sink in its own process, and its port; it ends with `communicate`."""
    pipe = asyncio.subprocess.PIPE
    sink = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.sink", stdin=pipe, stdout=pipe)
    assert sink.stdout is not None
    return sink, int(await sink.stdout.readline())


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
