// A Matrix client made with matrix-js-sdk: who is on a whiteboard, as the room's state says.
// Told in the environment what to watch (PEER, JSON); prints `SEEN {json}` at each change.

import { ClientEvent, createClient, EventTimeline, RoomStateEvent } from "matrix-js-sdk";
import { MatrixRTCSession } from "matrix-js-sdk/lib/matrixrtc/index.js";

const MEMBER = "org.matrix.msc3401.call.member";
const APPLICATION = "net.nordeck.whiteboard";

const peer = JSON.parse(process.env.PEER);
// The SDK's log goes where ours does not: its lines would fall between.
for (const name of ["log", "info", "debug", "trace", "warn"]) console[name] = console.error;

const client = createClient({
  baseUrl: peer.homeserver,
  userId: peer.userId,
  deviceId: peer.deviceId,
  accessToken: peer.accessToken,
});

/** The members of the session, by our own reading of the state; `expires` is an instant. */
function members(room, state) {
  return state
    .getStateEvents(MEMBER)
    .filter((event) => {
      const { application, call_id: callId, expires } = event.getContent();
      return (
        application === APPLICATION &&
        callId === peer.whiteboardId &&
        expires > Date.now() &&
        room.getMember(event.getSender())?.membership === "join"
      );
    })
    .map((event) => ({
      userId: event.getSender(),
      deviceId: event.getContent().device_id,
      stateKey: event.getStateKey(),
      ts: event.getTs(),
    }));
}

/** The same as the SDK's own MatrixRTC sees it. */
async function sdkMembers(room) {
  const slot = { application: APPLICATION, id: peer.whiteboardId };
  const found = await MatrixRTCSession.sessionMembershipsForSlot(room, slot);
  return found
    .filter((membership) => !membership.isExpired())
    .map((membership) => ({
      userId: membership.userId,
      deviceId: membership.deviceId,
      slotId: membership.slotId,
      identity: membership.rtcBackendIdentity,
      transports: membership.transports,
    }));
}

/** When memberships were cleared: state key → instant, by the homeserver's clock. */
function left(state) {
  const empty = state
    .getStateEvents(MEMBER)
    .filter((event) => Object.keys(event.getContent()).length === 0);
  return Object.fromEntries(empty.map((event) => [event.getStateKey(), event.getTs()]));
}

let before = "";
async function look() {
  const room = client.getRoom(peer.roomId);
  if (!room) return;
  const state = room.getLiveTimeline().getState(EventTimeline.FORWARDS);
  const seen = JSON.stringify({
    members: members(room, state),
    sdk: await sdkMembers(room),
    left: left(state),
  });
  if (seen !== before) process.stdout.write(`SEEN ${(before = seen)}\n`);
}

client.on(RoomStateEvent.Events, look);
client.on(ClientEvent.Sync, look);
setInterval(look, 500);
await client.startClient({ initialSyncLimit: 1 });
