"""The simulated NeoBoard user: what a person with the real client does on a board.

    async with NeoBoard(stack.homeserver_url, await stack.user("alice")) as alice:
        board = await alice.create_board()
        await alice.open(board)
        await alice.draw(elements.path([(0, 0), (50, 80)]))

It does what real clients were seen to do (tests/data/neoboard-session), warts included: nobody but
the author saves, all packets are lossy, a sender that is not announced yet is not heard, one
invalid update makes its author's later ones wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Self, TypeVar

from tests.stack.client import edits, events
from tests.stack.client.channel import Channel
from tests.stack.client.document import BoardDocument
from tests.stack.client.ears import Ears
from tests.stack.client.edits import Edit
from tests.stack.client.elements import FIRST_SLIDE, Element, image, new_id
from tests.stack.client.events import MEMBER, Board
from tests.stack.client.habits import Habits
from tests.stack.client.jobs import Jobs, until
from tests.stack.client.keeping import Keeping
from tests.stack.client.link import Link
from tests.stack.client.matrix import Device, Event, MatrixUser
from tests.stack.client.meeting import Meeting
from tests.stack.client.members import Member, read_identity
from tests.stack.client.outbox import Outbox
from tests.stack.client.room import RoomView, create_board
from tests.stack.client.sticky_meeting import StickyMeeting

WIDGET_URL = "http://127.0.0.1/neoboard/"
_PRESENTED_AGAIN_AFTER = 0.4

Found = TypeVar("Found")


class NeoBoard:
    """One person with one device, who has at most one board open.

    Args:
        homeserver_url: where clients reach the homeserver.
        device: the login, as `Stack.user` gives it.
        habits: how he differs from others.
        link: what happens to the packets he sends; by default nothing.
        hears: what happens to the packets he receives; by default nothing. What it holds back is
            heard when more comes.

    Attributes:
        user: for any other request to the homeserver.
        outbox: counts what he sends: `made`, `sent` (after the link), `unsent`, by type.

    Once a board has been opened:
        board, document, room: the board, its content here, the room around it.
        ears: what was heard: `heard`, `dropped`, `cursors`, `presentation`, `slide`.
        keeping: snapshots `loaded`, `skipped`, `saved`; `save()` writes one now.
        meeting: `focus`, `channel`, `attendance`, `met`.
    """

    board: Board
    document: BoardDocument
    room: RoomView
    ears: Ears
    keeping: Keeping
    meeting: Meeting

    def __init__(
        self,
        homeserver_url: str,
        device: Device,
        habits: Habits | None = None,
        *,
        link: Link | None = None,
        hears: Link | None = None,
    ) -> None:
        self.user = MatrixUser(homeserver_url, device)
        self.user_id, self.device_id = device.user_id, device.device_id
        self.habits = habits or Habits()
        self.outbox = Outbox(link or Link(), self._channel)
        self._hears_through = hears or Link()
        self._jobs = Jobs()
        self._open = False
        self._local_copies: dict[str, bytes] = {}
        self._presented: bytes | None = None

    async def __aenter__(self) -> Self:
        await self.user.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            await self.leave()
        finally:
            await self.user.end()

    @property
    def identity(self) -> str:
        """Our name on LiveKit; in the sticky profile another one with each joining."""
        if not self.habits.sticky:
            return f"{self.user_id}:{self.device_id}"
        assert isinstance(self.meeting, StickyMeeting)
        return self.meeting.attendance.identity

    @property
    def members(self) -> list[Member]:
        """Who is shown as being on this board, oneself included."""
        here = self.board.whiteboard_id
        members = self.room.sticky_members() if self.habits.sticky else self.room.members()
        return [member for member in members if member.call_id == here]

    async def create_board(
        self, name: str = "Untitled", invite: Iterable[str] = (), *, calls_allowed: bool = True
    ) -> Board:
        """Makes a room with an empty board, as the standalone client does, and invites people.

        Args:
            name: of the room.
            invite: user ids.
            calls_allowed: whether people without power may join the session; without it, the room
                has the power levels of an ordinary room.
        """
        board = await create_board(
            self.user, WIDGET_URL, name, calls_allowed=calls_allowed, slot=self.habits.sticky
        )
        for user_id in invite:
            await self.user.membership(board.room_id, "invite", user_id)
        return board

    async def join(self, board: Board) -> None:
        """Accepts the invitation to the room."""
        await self.user.membership(board.room_id, "join")

    async def open(self, board: Board, *, local_copy: bool = False, within: float = 20) -> None:
        """Opens a board: loads it, connects, joins the session.

        Args:
            board: of a room one is in.
            local_copy: whether the browser still has what it held when it was closed or killed.
            within: seconds until others can see us.

        Raises:
            TimeoutError: we did not get in.
        """
        assert not self._open, "leave first"
        self._open = True
        self.board = board
        self.document = BoardDocument(self.habits.version)
        self.room = RoomView(board.room_id)
        sender = self.room.sender if self.habits.sticky else read_identity
        self.ears = Ears(board, self.document, self._hears_through, sender)
        self.keeping = Keeping(self.user, board, self.document, saves=self.habits.saves)
        self.meeting = self._meeting()
        token, before = await self.user.begin_sync(board.room_id)
        await self.room.load(self.user)
        for event in before:
            self.room.remember(event)
        copy = self._local_copies.get(board.document_id) if local_copy else None
        await self.keeping.load(copy)
        self._jobs.start(self.user.follow(board.room_id, token, self._notice))
        self.meeting.start()
        await self.until(lambda: self.meeting.met, within, "joining the session")

    async def leave(self, *, save: bool = False) -> None:
        """Closes the board; changes not saved yet are lost, unless somebody else has them."""
        if self._open and save:
            await self.keeping.save()
        if self._open:
            await self._close(self.meeting.leave)

    async def kill(self) -> None:
        """Closes the board as a killed tab does: the homeserver clears the membership later.

        LiveKit learns of it at once, as when a tab dies; from a killed browser it would take 22 s.
        """
        if self._open:
            await self._close(self.meeting.vanish)

    async def change(self, edit: Edit) -> None:
        """Does something to the board (client/edits.py): here, live, and saved later."""
        update = self.document.change(edit)
        self.keeping.changed()
        await self.send(events.update_packet(self.board.document_id, update))

    async def draw(self, element: Element, slide_id: str = FIRST_SLIDE) -> str:
        """Draws an element (client/elements.py); returns its id."""
        element_id = new_id()
        await self.change(edits.add_element(slide_id, element_id, element))
        return element_id

    async def draw_image(
        self, data: bytes, mime_type: str = "image/png", file_name: str = "image.png"
    ) -> str:
        """Uploads a picture and puts it on the first slide; returns the element's id."""
        mxc = await self.user.upload(data, mime_type, file_name)
        return await self.draw(image(mxc, file_name=file_name))

    async def move_cursor(self, x: float, y: float, slide_id: str = FIRST_SLIDE) -> None:
        """Moves the cursor; others are told at most ten times a second, and of the last place."""
        await self.outbox.send_cursor(events.cursor_packet(slide_id, x, y))

    async def focus_on(self, slide_id: str) -> None:
        """Brings all to a slide."""
        await self.send(events.focus_packet(slide_id), reliable=self.habits.sticky)

    async def present(self, target: str, *, edit: bool = False) -> None:
        """Presents a slide (a frame on an infinite canvas), or goes on to another one."""
        fresh = self._presented is None
        kind = "frame" if self.habits.version == "1" else "slide"
        self._presented = events.present_packet(kind, target, edit=edit)
        await self.send(self._presented, reliable=self.habits.sticky)
        if fresh:
            self._jobs.start(self._present_again(_PRESENTED_AGAIN_AFTER))

    async def stop_presenting(self) -> None:
        """Ends the presentation."""
        self._presented = None
        kind = "frame" if self.habits.version == "1" else "slide"
        await self.send(events.present_packet(kind, None), reliable=self.habits.sticky)

    async def say(self, text: str) -> str:
        """Writes a text message into the room; returns its event id."""
        content = {"msgtype": "m.text", "body": text}
        return await self.user.send_event(self.board.room_id, "m.room.message", content)

    async def send(self, payload: bytes, *, reliable: bool = False) -> None:
        """Sends any packet, through the link."""
        await self.outbox.send(payload, reliable=reliable)

    async def until(
        self, check: Callable[[], Found], within: float = 10, what: str = "what is waited for"
    ) -> Found:
        """Waits for something; errors in the background show here.

        Raises:
            TimeoutError: it did not come true.
        """

        def checked() -> Found:
            self._jobs.check()
            self.meeting.check()
            self.outbox.check()
            return check()

        return await until(checked, within, what)

    async def hears(self, *others: NeoBoard, within: float = 10) -> None:
        """Waits until these have been announced to us: what they send before is not heard."""
        wanted = {other.identity for other in others}
        await self.until(lambda: wanted <= self.meeting.others, within, f"hearing {wanted}")

    async def _close(self, go: Callable[[], Awaitable[None]]) -> None:
        self._open = False
        self._presented = None
        self._local_copies[self.board.document_id] = self.document.data
        try:
            await self._jobs.end()
            await self.outbox.end()
            await self.keeping.end()
        finally:
            await go()

    def _meeting(self) -> Meeting:
        user, board, habits, room, ears = self.user, self.board, self.habits, self.room, self.ears
        if not habits.sticky:
            return Meeting(user, board, habits, members=room.members, on_packet=ears.hear)
        return StickyMeeting(user, board, habits, room, ears.hear, came=self._met, gone=ears.gone)

    def _met(self) -> None:
        self._jobs.start(self._present_again())

    def _channel(self) -> Channel | None:
        return self.meeting.channel if self._open else None

    async def _present_again(self, after: float = 0) -> None:
        """Real clients repeat the start, and tell whoever comes later."""
        await asyncio.sleep(after)
        if self._presented is not None:
            await self.send(self._presented, reliable=self.habits.sticky)

    def _notice(self, event: Event) -> None:
        before = self.room.state(event["type"], event.get("state_key", ""))
        if not self.room.apply(event):
            return
        self.keeping.notice(event)
        self.meeting.attendance.notice(event)
        if self.habits.sticky:
            self.meeting.look_again()
        if self.habits.sticky or event["type"] != MEMBER:
            return
        if event["content"]:
            if event["sender"] != self.user_id and not before:
                self._met()
        else:
            self.ears.gone(event["sender"], str(before.get("device_id")))
            self.meeting.look_again()
