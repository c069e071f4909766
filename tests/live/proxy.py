"""A TCP proxy that does to a connection what networks do. Knows nothing of gRPC, nor of the tool.

Every trouble begins at once and lasts until the next one is set: `Proxy.trouble`.
"""

import asyncio
import contextlib
import random
from dataclasses import dataclass

from background import Background

CHUNK = 16 * 1024


@dataclass(frozen=True)
class Trouble:
    """What happens to bytes on their way; by default nothing."""

    hold_requests: bool = False  # what the tool sends waits here, and goes on when this ends
    hold_replies: bool = False  # what the service answers waits here, and goes on when this ends
    lose_replies: bool = False  # the service gets everything, and its answers are gone for good
    refuse: bool = False  # nobody answers the door
    delay: float = 0.0  # seconds that each piece takes, each way


CALM = Trouble()


class Proxy:
    """`with Proxy(address, seed) as proxy:` — `proxy.address` leads to `address`."""

    def __init__(self, address: str, seed: int = 0) -> None:
        host, _, port = address.rpartition(":")
        self.target = (host, int(port))
        self.dice = random.Random(seed)
        self.background = Background()
        self.trouble = CALM
        self.changed: asyncio.Event
        self.links: set["Link"] = set()
        self.port = 0
        self.cut = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "Proxy":
        self.background.start()
        self.background.ask(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.background.ask(self._close())
        self.background.close()

    async def _open(self) -> None:
        self.changed = asyncio.Event()
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self.server.close()
        await self._drop()

    # --- what happens; each returns when it has begun

    def be(self, trouble: Trouble) -> None:
        self.background.ask(self._be(trouble))

    async def _be(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self.changed.set()
        self.changed = asyncio.Event()
        if trouble.refuse:
            await self._drop()

    def drop(self) -> None:
        """Every connection ends with a reset, both ways, in the middle of whatever it carries."""
        self.background.ask(self._drop())

    async def _drop(self) -> None:
        for link in list(self.links):
            link.abort()
        self.cut += 1

    def truncate(self) -> None:
        """The next piece that the service answers is cut in its middle, and the connection with it."""
        self.background.ask(self._mark("truncated"))

    def half_close(self) -> None:
        """The service's side is closed to the tool, which may go on sending."""
        self.background.ask(self._half_close())

    async def _mark(self, name: str) -> None:
        for link in self.links:
            setattr(link, name, True)
        self.cut += 1

    async def _half_close(self) -> None:
        for link in list(self.links):
            link.half_close()
        self.cut += 1

    # --- connections

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.trouble.refuse:
            writer.transport.abort()
            return
        try:
            service = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(self, (reader, writer), service)
        self.links.add(link)
        try:
            await link.carry()
        finally:
            self.links.discard(link)


class Link:
    """One connection of the tool, and the one of ours to the service that carries it."""

    def __init__(self, proxy: Proxy, tool: tuple, service: tuple) -> None:
        self.proxy = proxy
        self.tool, self.service = tool, service
        self.truncated = False
        self.closed_to_tool = False

    async def carry(self) -> None:
        ways = [self._requests(), self._replies()]
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.abort()

    async def _requests(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self.tool[0].read(CHUNK):
                await self._passes(lambda: self.proxy.trouble.hold_requests)
                self.service[1].write(data)
                await self.service[1].drain()

    async def _replies(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self.service[0].read(CHUNK):
                await self._passes(lambda: self.proxy.trouble.hold_replies)
                if self.proxy.trouble.lose_replies or self.closed_to_tool:
                    continue
                if self.truncated and len(data) > 1:
                    self.tool[1].write(data[: self.proxy.dice.randrange(1, len(data))])
                    await self.tool[1].drain()
                    return
                self.tool[1].write(data)
                await self.tool[1].drain()

    async def _passes(self, held) -> None:
        while held():
            await self.proxy.changed.wait()
        if self.proxy.trouble.delay:
            await asyncio.sleep(self.proxy.dice.uniform(0, self.proxy.trouble.delay))

    def half_close(self) -> None:
        self.closed_to_tool = True
        with contextlib.suppress(OSError):
            self.tool[1].write_eof()

    def abort(self) -> None:
        for _, writer in (self.tool, self.service):
            writer.transport.abort()
