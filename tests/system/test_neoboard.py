"""The simulated NeoBoard user on real servers does what real clients were seen to do."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.stack.client import edits, elements
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.client.events import LEAVE_AFTER_MS, MEMBER, member_key
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.client.matrix import MatrixError
from tests.stack.client.nwb import comparable, exported
from tests.stack.neoboard import NeoBoard
from tests.stack.processes import ROOT
from tests.stack.replay import Replay
from tests.stack.stack import Stack
from tests.system.crowd import crowd

SESSION = ROOT / "tests" / "data" / "neoboard-session"
# When the client's export was made; and when nobody but alice and bob had drawn.
EXPORTED_TS = {"slides": 1795218261000, "infinite": 1795219200000}
LAST_SAVED_TS = 1795218262000
AS_FAST_AS_POSSIBLE = float("inf")
WATCHING = Habits(saves=False, announces=True)


def same(left: NeoBoard, right: NeoBoard) -> bool:
    return left.document.content() == right.document.content()


def texts(person: NeoBoard) -> list[str]:
    return [
        element["text"]
        for slide in person.document.content()["slides"]
        for element in slide["elements"]
    ]


async def all_heard(listener: NeoBoard, *actors: NeoBoard) -> None:
    """Waits until a listener has heard every packet that these have sent."""
    sent = {
        (actor.user_id, kind): count
        for actor in actors
        for kind, count in actor.outbox.sent.items()
    }
    await listener.until(lambda: listener.ears.heard == sent, what="hearing everything")


async def test_two_people_see_each_others_strokes_cursors_and_presentation(stack: Stack) -> None:
    async with crowd(stack, "alice", "bob") as (alice, bob):
        both = {alice.user_id, bob.user_id}
        await alice.until(lambda: {member.user_id for member in alice.members} == both)
        rectangle = await alice.draw(elements.shape(text="one"))
        await bob.draw(elements.path([(0, 0), (30, 40)]))
        await alice.until(lambda: len(alice.document.content()["slides"][0]["elements"]) == 2)
        await bob.until(lambda: same(alice, bob))
        await bob.change(edits.change_element(FIRST_SLIDE, rectangle, {"text": "two"}))
        await alice.until(lambda: same(alice, bob))
        assert alice.outbox.sent["document_update"] == 1
        assert bob.ears.heard[alice.user_id, "document_update"] == 1

        begun = time.monotonic()
        for step in range(30):
            await bob.move_cursor(step, 2 * step)
            await asyncio.sleep(0.02)
        await alice.until(lambda: alice.ears.cursors[bob.user_id].x == 29)
        assert 2 <= bob.outbox.sent["cursor_update"] <= 2 + (time.monotonic() - begun) / 0.1

        await alice.present(FIRST_SLIDE)
        await bob.until(lambda: bob.ears.heard[alice.user_id, "present_slide"] == 2)
        assert bob.ears.presentation is not None
        await alice.stop_presenting()
        await bob.until(lambda: bob.ears.presentation is None)
        await alice.focus_on("elsewhere")
        await bob.until(lambda: bob.ears.slide == "elsewhere")
        await alice.present(FIRST_SLIDE)
        await bob.until(lambda: bob.ears.presentation)
        await alice.leave()
        await bob.until(lambda: bob.ears.presentation is None)


async def test_a_newcomer_gets_the_past_from_the_snapshot_only(stack: Stack) -> None:
    async with crowd(stack, "alice", "carol", habits=WATCHING, opened=False) as (alice, carol):
        await alice.open(alice.board)
        await alice.draw(elements.shape(text="early"))
        await alice.present(FIRST_SLIDE)
        await carol.open(carol.board)
        await carol.hears(alice)
        await carol.until(lambda: carol.ears.presentation)
        await alice.draw(elements.shape(text="late"))
        await carol.until(lambda: carol.ears.heard[alice.user_id, "document_update"])
        assert carol.document.waiting
        assert texts(carol) == []
        await alice.keeping.save()
        await carol.until(lambda: texts(carol) == ["early", "late"])
        await carol.until(lambda: carol.keeping.loaded == alice.keeping.saved)

        await carol.leave()
        await carol.open(carol.board)
        assert texts(carol) == ["early", "late"]


async def test_a_killed_authors_membership_is_cleared_and_his_last_stroke_lost(
    stack: Stack,
) -> None:
    async with crowd(stack, "alice", "bob", "carol", opened=False) as (alice, bob, carol):
        await alice.open(alice.board)
        await bob.open(bob.board)
        await bob.hears(alice)
        await alice.draw(elements.shape(text="lost"))
        await bob.until(lambda: texts(bob) == ["lost"])
        await alice.kill()
        killed = time.time() * 1000
        await bob.until(lambda: [one.user_id for one in bob.members] == [bob.user_id], within=12)
        key = member_key(alice.user_id, alice.device_id)
        cleared = [
            event
            for event in bob.room.timeline
            if event["type"] == MEMBER and event["state_key"] == key and not event["content"]
        ]
        assert len(cleared) == 1
        # The delay runs from the last restart, at most 6 s ago.
        assert 0 < cleared[0]["origin_server_ts"] - killed < LEAVE_AFTER_MS + 30_000
        assert bob.keeping.saved == []

        await carol.open(carol.board)
        assert texts(carol) == []
        await alice.open(alice.board, local_copy=True)
        assert texts(alice) == ["lost"]
        await carol.until(lambda: texts(carol) == ["lost"])


async def test_what_a_bad_link_loses_comes_with_the_next_snapshot(stack: Stack) -> None:
    link = Link(loss=0.3, duplicate=0.1, reorder=0.2, seed=5)
    async with crowd(stack, "alice", "bob", links={"alice": link}) as (alice, bob):
        begun = time.monotonic()
        for step in range(20):
            await alice.draw(elements.shape(at=(step, step)))
        await alice.outbox.flush()
        arrived = alice.outbox.sent["document_update"]
        await bob.until(lambda: bob.ears.heard[alice.user_id, "document_update"] == arrived)
        assert alice.outbox.made["document_update"] == 20
        assert arrived == 20 - link.counts["lost"] + link.counts["duplicated"]
        assert bob.document.waiting
        assert not same(alice, bob)
        await bob.until(lambda: same(alice, bob))
        assert bob.keeping.loaded == alice.keeping.saved
        assert time.monotonic() - begun > 4.9


@pytest.mark.parametrize("name", ["slides", "infinite"])
async def test_a_replay_gives_the_others_what_the_real_client_exported(
    stack: Stack, name: str
) -> None:
    replay = Replay(SESSION / name)
    recording = replay.recording
    habits = Habits(version=recording.version, saves=False, announces=True)
    async with crowd(stack, "alice", "bob", "carol", habits=habits) as (alice, bob, carol):
        actors = {"alice": alice, "bob": bob}
        played = await replay.play(
            actors, speed=AS_FAST_AS_POSSIBLE, until_ts=EXPORTED_TS[name], snapshots="none"
        )
        await all_heard(carol, alice, bob)
        files = {new: recording.files[old] for old, new in played.pictures.items()}
        found = exported(carol.document.content(), recording.version, files)
        assert comparable(found) == comparable(recording.export)
        assert carol.ears.dropped == {}


async def test_a_replay_may_withhold_updates_and_its_snapshots_heal_that(stack: Stack) -> None:
    replay = Replay(SESSION / "slides")
    async with crowd(stack, "alice", "bob", "carol", habits=WATCHING) as (alice, bob, carol):
        played = await replay.play(
            {"alice": alice, "bob": bob},
            speed=100,
            longest_pause=0.05,
            until_ts=LAST_SAVED_TS,
            withhold=(0, 1795218080000),
        )
        assert played.withheld == 4
        assert alice.outbox.sent["document_update"] == 19 - 4
        snapshots = len(alice.keeping.saved) + len(bob.keeping.saved)
        assert snapshots == 10
        await carol.until(lambda: carol.keeping.loaded[-1:] == alice.keeping.saved[-1:])
        files = {new: replay.recording.files[old] for old, new in played.pictures.items()}
        found = exported(carol.document.content(), "0", files)
        assert comparable(found) == comparable(replay.recording.export)
        assert played.begun[0][1] < played.moment(EXPORTED_TS["slides"]) < played.ended_ts


async def test_who_is_not_announced_is_not_heard(stack: Stack) -> None:
    async with crowd(stack, "alice", "bob", habits=Habits(), opened=False) as (alice, bob):
        await bob.open(bob.board)
        await alice.open(alice.board)
        assert alice.meeting.channel is not None
        assert bob.meeting.channel is not None
        if alice.identity in bob.meeting.channel.others:  # LiveKit announces every 3 s
            await alice.leave()
            await alice.open(alice.board)
        await alice.draw(elements.shape(text="unheard"))
        await bob.until(lambda: bob.ears.dropped["sender not announced"])
        assert texts(bob) == []
        await bob.hears(alice)
        await bob.until(lambda: texts(bob) == ["unheard"])
        assert bob.keeping.loaded == alice.keeping.saved


async def test_a_long_document_is_saved_in_chunks_and_too_long_to_send(stack: Stack) -> None:
    async with crowd(stack, "alice", "bob", opened=False) as (alice, bob):
        await alice.open(alice.board)
        many = [(elements.new_id(), elements.shape(text="x" * 400)) for _ in range(200)]
        await alice.change(edits.add_slide("s2", many))
        assert alice.outbox.unsent == {"document_update": 1}
        await alice.leave(save=True)
        chunks = -(-len(alice.document.data) // 34_000)
        assert chunks == 4
        await bob.open(bob.board)
        assert same(alice, bob)
        sizes = await bob.user.relations(
            bob.board.room_id, alice.keeping.saved[0], "net.nordeck.whiteboard.document.chunk"
        )
        assert {len(event["content"]["data"]) for event in sizes[1:]} == {45_336}


async def test_the_newest_complete_snapshot_counts(stack: Stack) -> None:
    async with crowd(stack, "alice", "bob", opened=False) as (alice, bob):
        await alice.open(alice.board)
        await alice.draw(elements.shape(text="good"))
        await alice.keeping.save()
        content = {
            "chunkCount": 2,
            "m.relates_to": {"rel_type": "m.reference", "event_id": alice.board.document_id},
        }
        await alice.user.send_event(
            alice.board.room_id, "net.nordeck.whiteboard.document.snapshot", content
        )
        await alice.keeping.save(b"\x00\x00")
        await bob.open(bob.board)
        assert texts(bob) == ["good"]
        assert bob.keeping.loaded == alice.keeping.saved[:1]
        assert bob.keeping.skipped == alice.keeping.saved[1:]


async def test_pictures_are_uploaded_and_can_be_fetched(stack: Stack) -> None:
    async with crowd(stack, "alice", "bob") as (alice, bob):
        await alice.draw_image(b"\x89PNG not really")
        await bob.until(lambda: bob.document.content()["slides"][0]["elements"])
        (element,) = bob.document.content()["slides"][0]["elements"]
        assert await bob.user.download(element["mxc"]) == b"\x89PNG not really"


async def test_leaving_clears_the_membership_and_cancels_the_delayed_leave(stack: Stack) -> None:
    async with crowd(stack, "alice", "bob") as (alice, bob):
        await alice.leave()
        await bob.until(lambda: len(bob.members) == 1, within=1)
        pending = await alice.user.request(
            "GET", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
        )
        assert pending["delayed_events"] == []


async def test_people_come_back_when_a_server_was_away(stack: Stack) -> None:
    async with crowd(stack, "alice", "bob") as (alice, bob):
        await stack.jwt.fault("no_room", seconds=2)
        await alice.leave()
        await alice.open(alice.board)
        assert alice.meeting.attendance.joins == 1

        await stack.proxies.synapse.cut()
        await asyncio.sleep(LEAVE_AFTER_MS / 1000 + 1)
        await stack.proxies.synapse.restore()
        await alice.until(lambda: alice.meeting.attendance.joins == 2)
        await bob.until(lambda: bob.meeting.attendance.joins == 2)
        await bob.until(lambda: len(bob.members) == 2)


async def test_with_ordinary_power_levels_only_the_owner_gets_in(stack: Stack) -> None:
    async with (
        NeoBoard(stack.homeserver_url, await stack.user("alice"), WATCHING) as alice,
        NeoBoard(stack.homeserver_url, await stack.user("bob"), WATCHING) as bob,
    ):
        board = await alice.create_board(invite=[bob.user_id], calls_allowed=False)
        await bob.join(board)
        await alice.open(board)
        with pytest.raises(TimeoutError):
            await bob.open(board, within=1)
        levels = await alice.user.request(
            "GET", f"/_matrix/client/v3/rooms/{board.room_id}/state/m.room.power_levels/"
        )
        levels["events"] = {**levels["events"], MEMBER: 0}
        await alice.user.put_state(board.room_id, "m.room.power_levels", levels)
        await bob.until(lambda: bob.meeting.met)
        with pytest.raises(MatrixError, match="M_FORBIDDEN"):
            await bob.user.membership(board.room_id, "kick", alice.user_id)
