"""Two whole stacks, A and B, whose homeservers federate on loopback, and the cable between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.stack.certificate import make_certificate
from tests.stack.ports import HOST, free_port
from tests.stack.processes import Process
from tests.stack.proxy import ConnectProxy, Proxy, ProxyThread
from tests.stack.stack import Options, Stack
from tests.stack.synapse import Federating


@dataclass(frozen=True, slots=True)
class Federation:
    """Two homeservers with an SFU and a JWT service each.

    Attributes:
        a, b: the stacks: users, processes, proxies. Clients of one reach the other's SFU and JWT
            service whatever becomes of the cable.
        cable: what lies between them: what each homeserver sends, and where each JWT service asks
            the other homeserver whose an OpenID token is.
    """

    a: Stack
    b: Stack
    cable: tuple[Proxy, ...]

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        folder: Path,
        options: Options | None = None,
        *,
        restricted: bool = True,
        quick: bool = True,
    ) -> AsyncIterator[Federation]:
        """Starts everything in a private folder and ends it at the end of the block.

        Args:
            folder: for both.
            options: of both.
            restricted: users of one get no LiveKit room created at the other.
            quick: homeservers try again soon after a cut; with Synapse's own times it takes more
                than a minute.

        Raises:
            StackError: a server did not start.
        """
        certificate = make_certificate(folder / "certificate")
        async with AsyncExitStack() as ends:
            thread = ends.enter_context(ProxyThread())
            ports = free_port(), free_port()
            names = [f"localhost:{port}" for port in ports]
            outs = [ConnectProxy(thread) for _ in ports]
            asks = [Proxy(thread, port) for port in ports]
            for proxy in (*outs, *asks):
                ends.push_async_callback(proxy.cut)
                await proxy.restore()
            stacks: list[Stack] = []
            for me, other in ((0, 1), (1, 0)):
                mine = replace(
                    options or Options(),
                    server_name=names[me],
                    federating=Federating(ports[me], certificate, outs[me].port, quick=quick),
                    homeservers={names[other]: f"https://{HOST}:{asks[other].port}"},
                    full_access=(names[me],) if restricted else ("*",),
                )
                running = Stack.start(folder / "ab"[me], mine)
                stacks.append(await ends.enter_async_context(running))
            a, b = stacks
            yield cls(a, b, cable=(*outs, *asks))

    @property
    def processes(self) -> tuple[Process, ...]:
        """The processes of both."""
        return (*self.a.processes, *self.b.processes)

    async def cut(self) -> None:
        """Cuts the homeservers off from each other, and each JWT service from the other's."""
        for proxy in self.cable:
            await proxy.cut()

    async def restore(self) -> None:
        """Connects them again."""
        for proxy in self.cable:
            await proxy.restore()

    async def heal(self) -> None:
        """Ends every fault, here and in both stacks."""
        await self.restore()
        await self.a.heal()
        await self.b.heal()
