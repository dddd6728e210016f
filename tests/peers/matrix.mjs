// A Matrix client made with matrix-js-sdk: who is on a whiteboard, as the room's state and its
// sticky events say. Told in the environment what to watch (PEER, JSON); prints `SEEN {json}` at
// each change. If told where to publish, it joins with a sticky event, and leaves at SIGTERM.

import { ClientEvent, createClient, EventTimeline, RoomStateEvent } from "matrix-js-sdk";
import { MatrixRTCSession } from "matrix-js-sdk/lib/matrixrtc/index.js";

const MEMBER = "org.matrix.msc3401.call.member";
const APPLICATION = "net.nordeck.whiteboard";

const peer = JSON.parse(process.env.PEER);
// The SDK's log goes where ours does not: its lines would fall between.
for (const name of ["log", "info", "debug", "trace", "warn"]) console[name] = console.error;

const SLOT = { application: APPLICATION, id: peer.whiteboardId };

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
  const found = await MatrixRTCSession.sessionMembershipsForSlot(room, SLOT);
  return found
    .filter((membership) => !membership.isExpired())
    .map((membership) => ({
      userId: membership.userId,
      deviceId: membership.deviceId,
      memberId: membership.memberId,
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

function join(room) {
  const session = MatrixRTCSession.sessionForSlot(client, room, SLOT);
  const transport = { type: "livekit", livekit_service_url: peer.publishes };
  const own = { userId: peer.userId, deviceId: peer.deviceId, memberId: peer.memberId };
  session.joinRTCSession(own, [transport], transport, {
    unstableSendStickyEvents: true,
    applicationData: { whiteboard_id: peer.whiteboardId },
  });
  process.on("SIGTERM", async () => {
    await session.leaveRoomSession(5000);
    process.exit();
  });
}

let joined = false;
client.on(ClientEvent.Sync, () => {
  const room = client.getRoom(peer.roomId);
  if (!room || joined || !peer.publishes) return;
  joined = true;
  join(room);
});
client.on(RoomStateEvent.Events, look);
client.on(ClientEvent.Sync, look);
setInterval(look, 500);
await client.startClient({ initialSyncLimit: 1 });
