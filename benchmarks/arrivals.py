"""A recipient that only notes when the first byte of each notice arrived. A process of its own.

`POST /<recipient>` answers the receipt that our endpoints' contract demands; `GET /` gives and forgets the arrivals as
JSON: [[encounter id, recipient, monotonic seconds], ...].
"""

import asyncio
import sys
import time
from typing import Any

import httptools
import orjson
import uvloop


class Recipient(asyncio.Protocol):
    def __init__(self, arrivals: list[tuple[str, str, float]]) -> None:
        self._arrivals = arrivals
        self._parser: Any = httptools.HttpRequestParser(self)
        self._first_byte = 0.0
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if not self._first_byte:
            self._first_byte = time.monotonic()
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        if body:
            event = orjson.loads(body)
            self._arrivals.append((event["data"]["notice"]["encounter_id"], self._url.decode()[1:], self._first_byte))
            answer = orjson.dumps({"received": event["id"]})
        else:
            answer = orjson.dumps(self._arrivals)
            self._arrivals.clear()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
        self._transport.write(head + answer)
        self._first_byte, self._url, self._body = 0.0, b"", []


async def serve(port: int) -> None:
    arrivals: list[tuple[str, str, float]] = []
    server = await asyncio.get_running_loop().create_server(lambda: Recipient(arrivals), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
