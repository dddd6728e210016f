"""App: builds shells and handlers, supervises the rooms, takes signals, ends in order.

The only module that names the concrete shells; everything below declares the few methods it needs.
One task tree: App → Room → Presence → Connection, and the lanes beside it (DESIGN rule 9).
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from secrets import token_urlsafe
from time import monotonic
from typing import Any

import aiohttp

from bot import fittings
from bot.account import Positions, make_homeserver, send_left_over
from bot.actions.history import History
from bot.backoff import backoff
from bot.config import Config
from bot.context import Context
from bot.control.control import Control
from bot.control.orders import Orders, sweep
from bot.control.saved import Safety
from bot.control.steering import Steering
from bot.entrance import Entrance
from bot.errors import Transient, UsageError
from bot.handlers.base import Handler
from bot.handlers.delivery import Delivery
from bot.handlers.lanes import Lanes
from bot.handlers.load import build
from bot.handlers.record import Record, Recorder
from bot.handling import Handling
from bot.limits import learn_limits
from bot.livekit import lean
from bot.matrix.client import Homeserver
from bot.matrix.sync import Syncer
from bot.presence.admission import Admission
from bot.presence.foci import Foci
from bot.presence.presence import Presence
from bot.presence.setting import Setting
from bot.rooms.host import Host
from bot.rooms.past import Past
from bot.rooms.shared import Shared
from bot.rtc.life import UNSURE_MS, Life
from bot.rtc.membership import Focus
from bot.rtc.timing import Timing, sticky
from bot.services import Services
from bot.stall import StallDetector
from bot.store.archive import Archive
from bot.support import Support
from bot.web.server import Component, Web
from bot.whiteboard.entry import Entry

SAID_AFTER = 5.0
"""Seconds without a login until people are told what is waited for."""
CLOSE_WITHIN = 2.0
"""Seconds all rooms get to withdraw when the program ends; a second is the aim."""
FLUSH_WITHIN = 5.0
"""Seconds the archive gets for what is not committed yet."""

_log = logging.getLogger(__name__)


class _EndedError(Exception):
    """Raised inside the task tree when a signal asked the program to end."""


class App:
    """The running program.

    Args:
        config: what it is told.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stop = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._admission = Admission(
            config.rtc.refresh,
            config.rtc.max_boards or None,
            stretch=config.rtc.stretch,
            clock=monotonic,
        )
        self._host: Host | None = None
        self._lanes: Lanes | None = None
        self._recording = self._noting = False
        self._delivery: Delivery
        self._homeserver: Homeserver
        self._life: Life
        self._support: Support
        self._foci: Foci
        self._entrance: Entrance
        self._archive: Archive
        self._past: Past
        self._recorder: Recorder
        self._safety: Safety
        self._http: aiohttp.ClientSession
        self._syncer: Syncer

    async def run(self) -> None:
        """Run until a signal says to end.

        Raises:
            AuthLost: the homeserver does not accept the account (any more).
            StoreError: the archive cannot be opened.
        """
        config = self._config
        handlers = build(config.handlers)
        record = next((one for one in handlers.values() if isinstance(one, Record)), None)
        self._recording, self._noting = record is not None, fittings.noting(handlers.values())
        files = lean.raise_file_limit()
        lean.apply()
        _log.info("boardkeeper starts", extra={**fittings.built(), "file_limit": files})
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            self._archive = await stack.enter_async_context(Archive(config.data.folder))
            self._homeserver = await stack.enter_async_context(
                make_homeserver(config, self._archive)
            )
            self._support = Support(self._homeserver)
            self._past = Past(self._homeserver, self._archive, config.homeserver.user_id)
            self._http = await stack.enter_async_context(aiohttp.ClientSession())
            self._recorder = Recorder(self._archive, on_commit=self._committed)
            self._safety = Safety(
                lambda: self._host.rooms if self._host else (),
                self._recorder,
                self._homeserver.server_ts,
            )
            self._safety.measure()
            self._syncer = Syncer(self._homeserver, Positions(self._archive))
            listen = (config.web.listen.host, config.web.listen.port)
            await stack.enter_async_context(Web(listen, self._components))
            sweep(config.data.folder)
            await stack.enter_async_context(Control(config.data.folder, self._steering().answer))
            await self._work(handlers, record)
        _log.info("boardkeeper has ended")

    async def _work(self, handlers: Mapping[str, Handler], record: Record | None) -> None:
        """Record, serve, and end in order: boards, lanes, handlers, archive."""
        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(self._recorder.run())
            optional = {entry.name for entry in self._config.handlers if entry.optional}
            handling = Handling(handlers, lambda name: self._context(name, tasks), optional)
            try:
                async with StallDetector(handlers):
                    able = await handling.start()
                    async with (
                        Lanes(able) as lanes,
                        Delivery(
                            able, self._archive, turn=lanes.turn, live=lanes.status
                        ) as self._delivery,
                    ):
                        self._lanes = lanes
                        await self._delivery.begin()
                        await self._serve(lanes, record)
                        await self._flush()  # durable lanes still get it
            finally:
                # Whatever ended it: first what people did, then what handlers want.
                await self._flush()
                await handling.stop()
            recording.cancel()

    def _context(self, name: str, tasks: asyncio.TaskGroup) -> Context:
        return Context(
            name,
            lambda: self._host,
            archive=self._archive,
            homeserver=self._homeserver,
            http=self._http,
            history=History(
                self._archive,
                empty=lambda: fittings.empty(self._config),
                committed=self._recorder.committed,
            ),
            past=self._past,
            tasks=tasks,
        )

    async def _serve(self, lanes: Lanes, record: Record | None) -> None:
        """Log in, clear what an earlier life left behind, and follow the rooms until the end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._until_stopped())
                await self._log_in()
                self._life = Life(token_urlsafe(6), self._homeserver.server_ts() - UNSURE_MS)
                await send_left_over(self._homeserver)  # which makes a twin join anew
                self._foci = Foci(
                    self._homeserver,
                    self._config.homeserver.well_known,
                    clock=monotonic,
                    changed=self._foci_changed,
                )
                self._entrance = Entrance(
                    self._config, self._homeserver, self._http, lambda: self._foci.current
                )
                await self._foci.read()
                tasks.create_task(self._foci.poll())
                await self._support.read()
                if self._support.delayed:
                    rtc = self._config.rtc
                    await learn_limits(
                        self._homeserver,
                        self._admission,
                        self._support.max_scheduled,
                        probe=rtc.stretch or not rtc.max_boards,
                    )
                tasks.create_task(self._support.poll())
                host = Host(
                    self._homeserver, self._shared(lanes, record), fittings.policy(self._config)
                )
                async with host:
                    self._host = host
                    self._admission.tell(host.ask_again, host.retime)
                    await self._syncer.run(host.deliver)
        except* _EndedError:
            await self._syncer.settle()

    async def _log_in(self) -> None:
        """Log in; a homeserver that is not there yet is waited for."""
        waits = backoff(random.random)
        loop, url = asyncio.get_running_loop(), self._config.homeserver.url
        said = "the homeserver does not answer yet; “boardkeeper doctor” examines it"
        slow = loop.call_later(SAID_AFTER, lambda: _log.warning(said, extra={"url": url}))
        while True:
            try:
                await self._homeserver.login()
            except Transient as error:
                _log.warning("the homeserver cannot be reached yet", extra={"why": str(error)})
                await asyncio.sleep(error.retry_after or next(waits))
            else:
                slow.cancel()
                return

    async def _until_stopped(self) -> None:
        await self._stop.wait()
        _log.info("ending: withdrawing from all boards")
        host = self._host
        if host is not None:
            if not await _in_time(CLOSE_WITHIN, host.close()):
                _log.warning("not every board was left in time; the homeserver will clear the rest")
            await host.rescue()
            if not await _in_time(CLOSE_WITHIN, host.settle()):
                _log.warning("not every checkpoint was written: the next start takes longer")
        raise _EndedError

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_WITHIN):
                await self._recorder.flush()
        except TimeoutError:
            _log.error("the archive did not take the last entries in time")

    # -- parts -----------------------------------------------------------------------------

    def _steering(self) -> Steering:
        return Steering(
            lambda: (self._config.homeserver.user_id, self._homeserver.device_id),
            lambda: self._host,
            self._archive,
            self._admission,
            components=self._components,
            open=self._open,
            orders=self._orders(),
            flush=self._recorder.flush,
            busy=lambda: self._lanes.busy + self._delivery.busy if self._lanes else 0,
            handlers=self._ask_handlers,
            saved=self._safety.boards,
            past=self._past,
        )

    async def _ask_handlers(self, request: Mapping[str, Any]) -> Any:
        if self._lanes is None:
            raise UsageError("The handlers have not started yet; try again in a moment.")
        return await self._delivery.answer(request)

    def _orders(self) -> Orders:
        config = self._config
        return Orders(
            lambda: self._host,
            self._archive,
            self._homeserver,
            empty=lambda: fittings.empty(config),
            now_ts=self._homeserver.server_ts,
            committed=self._recorder.committed,
            own_user=config.homeserver.user_id,
            folder=config.data.folder,
        )

    def _shared(self, lanes: Lanes, record: Record | None) -> Shared:
        config = self._config
        return Shared(
            homeserver=self._homeserver,
            archive=self._archive,
            services=Services(
                archive=self._archive,
                record=self._recorder.append,
                offer=lanes.offer,
                lacks=self._recorder.needs_baseline.__contains__,
                committed=self._recorder.committed,
                now_ts=self._homeserver.server_ts,
                default_version=config.boards.default_root,
                max_document=config.boards.max_document,
                recording=record is not None,
                cursors=record is not None and record.settings.cursors,
                noting=self._noting,
            ),
            own_user=config.homeserver.user_id,
            own_device=self._homeserver.device_id,
            presence=lambda room: Presence(room, self._setting()),
            always=config.presence.when == "always",
            linger=config.presence.linger,
            pace=fittings.pace(config),
            prefix=config.commands.prefix,
            power=config.commands.power,
            languages=config.notices.languages,
            tell_repairs=config.boards.tell_repairs,
            require_open_slot=config.rtc.require_open_slot,
            open=self._open,
            life=self._life,
        )

    def _setting(self) -> Setting:
        config = self._config
        return Setting(
            homeserver=self._homeserver,
            own_user=config.homeserver.user_id,
            own_device=self._homeserver.device_id,
            connect=self._entrance.connect,
            delayed=lambda: self._support.delayed,
            own_foci=lambda: self._foci.current,
            configured_foci=[Focus(url) for url in config.rtc.foci],
            allowed=self._entrance.allowed,
            timing=self._timing,
            sfu_grace=config.rtc.sfu_grace,
            now_ts=self._homeserver.server_ts,
            admission=self._admission,
            profile=config.rtc.profile,
            bridge=config.rtc.bridge_profiles,
            passes=config.boards.mode == "keep",
            sticky=lambda: self._support.sticky,
            sticky_timing=lambda: sticky(self._timing(), random.random()),  # noqa: S311
            spelling=lambda: self._foci.spelling,
            life=self._life,
        )

    def _timing(self) -> Timing:
        return fittings.timing(self._config, self._admission.refresh, self._support.max_delay)

    def _foci_changed(self) -> None:
        for room in self._host.rooms if self._host else ():
            if room.sessions.presence is not None:
                room.sessions.presence.room_changed()

    # -- health ------------------------------------------------------------------------------

    def _committed(self, entries: Sequence[Entry]) -> None:
        """Tell durable handlers; note how far each board's recording reaches."""
        self._delivery.committed(entries)
        last = {entry.board_id: entry.seq for entry in entries}
        for room in self._host.rooms if self._host else ():
            for board in room.boards.found.values():
                board.last_seq = max(board.last_seq, last.get(board.board_id, 0))

    def _components(self) -> Mapping[str, Component]:
        rooms = self._host.rooms if self._host else []
        taking_part = [room for room in rooms if room.sessions.taking_part]
        unconnected = [room for room in taking_part if not room.sessions.connected]
        failing = self._recorder.failing
        return {
            "homeserver": Component(
                self._syncer.healthy, f"in {len(rooms)} room{'' if len(rooms) == 1 else 's'}"
            ),
            "livekit": Component(
                # A peer can name a focus that is dead: one room is no outage.
                not taking_part or len(unconnected) < len(taking_part),
                f"{len(taking_part) - len(unconnected)} of {len(taking_part)} connected",
            ),
            "archive": Component(
                failing is None,
                failing or ("recording" if self._recording else "nothing is recorded"),
            ),
        }


async def _in_time(seconds: float, work: Coroutine[Any, Any, None]) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True
