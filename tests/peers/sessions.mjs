// Whom matrix-js-sdk takes for members of sessions. Reads from standard input {now, rooms}, where a
// room is {events, slots}; prints for each room and slot the members, oldest first.

import { text } from "node:stream/consumers";

import { createClient, MatrixEvent, Room } from "matrix-js-sdk";
import { MatrixRTCSession } from "matrix-js-sdk/lib/matrixrtc/index.js";

// The SDK's log is not what was asked for.
for (const name of ["log", "info", "debug", "trace", "warn"]) console[name] = () => {};

const { now, rooms } = JSON.parse(await text(process.stdin));
Date.now = () => now;

const client = createClient({ baseUrl: "http://127.0.0.1:9", userId: "@reader:hs" });

async function members(room, slot) {
  const found = await MatrixRTCSession.sessionMembershipsForSlot(room, slot);
  return found.map((membership) => ({
    application: membership.slotDescription.application,
    user: membership.userId,
    device: membership.deviceId,
    identity: membership.rtcBackendIdentity,
    created: membership.createdTs(),
    expires: membership.getAbsoluteExpiry(),
    event: membership.eventId,
  }));
}

const answer = [];
for (const { events, slots } of rooms) {
  const room = new Room("!room:hs", client, "@reader:hs");
  const state = room.getLiveTimeline().getState("f");
  // One by one, as sync gives them: what comes later stands.
  for (const event of events) {
    state.setStateEvents([new MatrixEvent({ ...event, room_id: room.roomId })]);
  }
  answer.push(await Promise.all(slots.map((slot) => members(room, slot))));
}
process.stdout.write(JSON.stringify(answer));
