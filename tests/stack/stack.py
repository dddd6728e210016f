"""Synapse, livekit-server and the JWT service, each behind a proxy, for a test or a demo."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.stack.http import Answer, request
from tests.stack.jwt import JwtProcess
from tests.stack.jwt_service import ServiceSettings
from tests.stack.livekit import LiveKitSettings, livekit_program
from tests.stack.ports import HOST, free_port
from tests.stack.processes import Process, StackError, end_left_over
from tests.stack.proxy import Proxy, ProxyThread
from tests.stack.synapse import Federating, SynapseSettings, synapse_program


@dataclass(frozen=True, slots=True)
class Login:
    """One device of one user."""

    user_id: str
    device_id: str
    access_token: str
    password: str


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies in front of the servers: `cut`, `drop`, `pause`, `restore`."""

    synapse: Proxy
    livekit: Proxy
    jwt: Proxy


@dataclass(frozen=True, slots=True)
class Options:
    """How a stack may differ from the usual one.

    Attributes:
        server_name: the part of user ids after the colon; by default `localhost:PORT`.
        default_limits: Synapse's own rate limits, except for registering and logging in.
        sticky: the homeserver has sticky events and tells its transports; without, it is one on
            which only the legacy profile works.
        synapse: merged into homeserver.yaml, one level deep.
        auto_create: LiveKit rooms come to be when somebody joins.
        full_access: servers whose users get their LiveKit room created; `["*"]` means all.
        federating: talks to other homeservers (tests/stack/federation.py).
        homeservers: server name → address of other homeservers whose users the JWT service admits.
    """

    server_name: str | None = None
    default_limits: bool = False
    sticky: bool = True
    synapse: Mapping[str, Any] = field(default_factory=dict)
    auto_create: bool = False
    full_access: tuple[str, ...] = ("*",)
    federating: Federating | None = None
    homeservers: Mapping[str, str] = field(default_factory=dict)


class Stack:
    """Running servers. All addresses are the proxies'.

    Attributes:
        folder: configuration, data, logs and pid files of the servers.
        server_name: the part of user ids after the colon.
        homeserver_url, jwt_url, livekit_url: where the bot and users go.
        livekit_key, livekit_secret: the SFU's API key, for operators who own it.
        synapse, livekit, jwt: the processes: `kill`, `start`, `stop`, `restart`, `pause`, `resume`;
            the JWT service also `fault` and `heal`.
        proxies: what can be cut.
    """

    def __init__(self, folder: Path, thread: ProxyThread, options: Options) -> None:
        livekit = LiveKitSettings(folder, auto_create=options.auto_create)
        synapse_port, jwt_port = free_port(), free_port()
        self.proxies = Proxies(
            synapse=Proxy(thread, synapse_port),
            livekit=Proxy(thread, livekit.port),
            jwt=Proxy(thread, jwt_port),
        )
        self.folder = folder
        self.server_name = options.server_name or f"localhost:{self.proxies.synapse.port}"
        self.homeserver_url = f"http://{HOST}:{self.proxies.synapse.port}"
        self.jwt_url = f"http://{HOST}:{self.proxies.jwt.port}"
        self.livekit_url = f"ws://{HOST}:{self.proxies.livekit.port}"
        self.livekit_key, self.livekit_secret = livekit.key, livekit.secret
        synapse = SynapseSettings(
            folder=folder,
            server_name=self.server_name,
            public_url=self.homeserver_url,
            jwt_url=self.jwt_url,
            default_limits=options.default_limits,
            sticky=options.sticky,
            federating=options.federating,
            extra=options.synapse,
            port=synapse_port,
        )
        service = ServiceSettings(
            port=jwt_port,
            sfu_url=self.livekit_url,
            sfu_api=livekit.url,
            key=livekit.key,
            secret=livekit.secret,
            homeservers={self.server_name: synapse.url, **options.homeservers},
            full_access=list(options.full_access),
            authority=str(options.federating.certificate.authority) if options.federating else "",
        )
        self.synapse = Process(synapse_program(synapse))
        self.livekit = Process(livekit_program(livekit))
        self.jwt = JwtProcess(folder, service)
        # Past the proxy: a test may log somebody in while the network is cut.
        self._synapse_url = synapse.url
        self._registration_secret = synapse.registration_secret
        self._users: dict[str, str] = {}

    @classmethod
    @asynccontextmanager
    async def start(cls, folder: Path, options: Options | None = None) -> AsyncIterator[Stack]:
        """Starts everything in a private folder and ends it at the end of the block.

        Raises:
            StackError: a server did not start; the text holds the last lines of its log.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        end_left_over(folder)
        async with AsyncExitStack() as ends:
            stack = cls(folder, ends.enter_context(ProxyThread()), options or Options())
            for proxy in stack._all_proxies():
                ends.push_async_callback(proxy.cut)
                await proxy.restore()
            ends.push_async_callback(stack._stop)
            async with asyncio.TaskGroup() as group:
                for process in stack.processes:
                    group.create_task(process.start())
            yield stack

    @property
    def processes(self) -> tuple[Process, ...]:
        """The servers' processes."""
        return (self.synapse, self.livekit, self.jwt)

    async def heal(self) -> None:
        """Ends every fault: servers run, nothing is paused or cut, the JWT service is honest."""
        for process in self.processes:
            if process.running:
                await process.resume()
            else:
                await process.start()
        for proxy in self._all_proxies():
            await proxy.restore()
        await self.jwt.heal()

    async def user(self, name: str, device_id: str | None = None, *, admin: bool = False) -> Login:
        """Registers a user, unless known, and logs a device in.

        Args:
            name: the localpart.
            device_id: the same one again invalidates its old token; by default a new one.
            admin: may use the server's admin API; counts when the user is registered.
        """
        if name not in self._users:
            await self._register(name, admin=admin)
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": name},
            "password": self._users[name],
            "device_id": device_id or "DEV" + secrets.token_hex(4).upper(),
        }
        found = await self._call("POST", "/_matrix/client/v3/login", body)
        return Login(
            user_id=found["user_id"],
            device_id=found["device_id"],
            access_token=found["access_token"],
            password=self._users[name],
        )

    async def exempt(self, user_id: str) -> None:
        """Lifts the rate limits of one user, as operators are told to do for the bot."""
        path = f"/_synapse/admin/v1/users/{user_id}/override_ratelimit"
        admin = await self.user("stack-admin", admin=True)
        nothing = {"messages_per_second": 0, "burst_count": 0}
        await self._call("POST", path, nothing, token=admin.access_token)

    async def call(
        self, login: Login, method: str, path: str, body: object = None, **query: str
    ) -> Answer:
        """Makes one request to the homeserver as this device, through the proxy."""
        url = self.homeserver_url + path
        return await request(method, url, token=login.access_token, body=body, query=query)

    async def _register(self, name: str, *, admin: bool) -> None:
        path = "/_synapse/admin/v1/register"
        nonce = (await self._call("GET", path))["nonce"]
        password = secrets.token_urlsafe(12)
        role = "admin" if admin else "notadmin"
        text = f"{nonce}\0{name}\0{password}\0{role}".encode()
        mac = hmac.new(self._registration_secret.encode(), text, hashlib.sha1).hexdigest()
        body = {
            "nonce": nonce,
            "username": name,
            "password": password,
            "admin": admin,
            "mac": mac,
            "inhibit_login": True,
        }
        await self._call("POST", path, body)
        self._users[name] = password

    async def _call(
        self, method: str, path: str, body: object = None, token: str | None = None
    ) -> dict[str, Any]:
        answer = await request(method, self._synapse_url + path, body=body, token=token)
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise StackError(f"Synapse answered {answer.status} to {path}: {answer.body}")
        return answer.body

    def _all_proxies(self) -> tuple[Proxy, ...]:
        return (self.proxies.synapse, self.proxies.livekit, self.proxies.jwt)

    async def _stop(self) -> None:
        # One that does not end must not keep the others running.
        found = await asyncio.gather(*(p.stop() for p in self.processes), return_exceptions=True)
        errors = [error for error in found if isinstance(error, Exception)]
        if errors:
            raise ExceptionGroup("Some servers did not end.", errors)
