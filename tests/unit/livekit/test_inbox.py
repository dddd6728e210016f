"""The inbox: bounds, order, and threads that fill it."""

from __future__ import annotations

import asyncio
from threading import Thread

import pytest

from bot.livekit.inbox import BATCH, Inbox, Packet


def packet(data: bytes) -> Packet:
    return Packet("ann", data, reliable=False, topic="", at=0.0)


async def test_packets_come_out_in_order_in_batches() -> None:
    inbox = Inbox(10_000, 10_000_000)
    sent = [b"%d" % number for number in range(BATCH + 20)]
    for data in sent:
        inbox.put(packet(data))
    first, second = await inbox.take(), await inbox.take()
    assert [one.data for one in first + second] == sent
    assert len(first) == BATCH


async def test_taking_waits_for_the_first_packet() -> None:
    inbox = Inbox(10, 1_000)
    taking = asyncio.create_task(inbox.take())
    for round_ in range(3):
        await asyncio.sleep(0)
        assert not taking.done()
        inbox.put(packet(b"%d" % round_))
        assert [one.data for one in await taking] == [b"%d" % round_]
        taking = asyncio.create_task(inbox.take())
    taking.cancel()
    await asyncio.wait({taking})
    inbox.put(packet(b"after"))
    assert [one.data for one in await inbox.take()] == [b"after"]


@pytest.mark.parametrize(("max_packets", "max_bytes"), [(3, 1_000), (1_000, 30)])
async def test_at_a_bound_the_newest_is_dropped(max_packets: int, max_bytes: int) -> None:
    inbox = Inbox(max_packets, max_bytes)
    for number in range(5):
        inbox.put(packet(b"%010d" % number))
    assert [int(one.data) for one in await inbox.take()] == [0, 1, 2]
    assert (inbox.received, inbox.dropped) == (3, 2)
    inbox.put(packet(b"x" * 30))
    assert len(await inbox.take()) == 1


async def test_threads_may_fill_it_while_it_is_emptied() -> None:
    inbox = Inbox(5_000, 1_000_000)

    def fill(name: int) -> None:
        for number in range(1_000):
            inbox.put(packet(b"%d %d" % (name, number)))

    threads = [Thread(target=fill, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    got: list[tuple[int, int]] = []
    async with asyncio.timeout(10):
        while len(got) < 4_000:
            for one in await inbox.take():
                name, number = map(int, one.data.split())
                got.append((name, number))
    for thread in threads:
        thread.join()
    for name in range(4):
        assert [number for one, number in got if one == name] == list(range(1_000))


def test_a_packet_after_the_end_of_the_event_loop_harms_nobody() -> None:
    async def make() -> Inbox:
        return Inbox(10, 1_000)

    inbox = asyncio.run(make())
    inbox.put(packet(b"late"))
    assert inbox.received == 1


def test_what_somebody_sent_is_not_in_a_packets_text() -> None:
    assert "content" not in repr(packet(b"content"))
