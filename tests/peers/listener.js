// Joins a LiveKit room with livekit-client as a whiteboard's client does, and tells what it hears.

const { Room, RoomEvent } = LivekitClient;
const socket = new WebSocket(`ws://${location.host}/reports`);
const opened = new Promise((resolve) => socket.addEventListener("open", resolve));

/** Tells the test; `at` is when, in ms since 1970. */
function report(what, details = {}) {
  const at = performance.timeOrigin + performance.now();
  socket.send(JSON.stringify({ what, at, ...details }));
}

async function post(url, body, headers = {}) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Proves to the JWT service who we are: OpenID token, then `/sfu/get`. */
async function grant({ homeserver, userId, accessToken, deviceId, serviceUrl, roomId }) {
  const user = encodeURIComponent(userId);
  const token = await post(
    `${homeserver}/_matrix/client/v3/user/${user}/openid/request_token`,
    {},
    { Authorization: `Bearer ${accessToken}` },
  );
  return post(`${serviceUrl}/sfu/get`, {
    room: roomId,
    openid_token: token,
    device_id: deviceId,
  });
}

function listen(room) {
  const of = (participant) => participant && { identity: participant.identity };
  room.on(RoomEvent.ParticipantConnected, (participant) =>
    report("participant", { ...of(participant), attributes: participant.attributes }),
  );
  room.on(RoomEvent.ParticipantAttributesChanged, (changed, participant) =>
    report("attributes", { ...of(participant), attributes: participant.attributes, changed }),
  );
  room.on(RoomEvent.ParticipantDisconnected, (participant) => report("gone", of(participant)));
  room.on(RoomEvent.DataReceived, (payload, participant, kind, topic) =>
    report("data", {
      ...of(participant),
      payload: new TextDecoder().decode(payload),
      reliable: kind === LivekitClient.DataPacket_Kind.RELIABLE,
      topic: topic ?? "",
    }),
  );
  room.on(RoomEvent.Disconnected, (reason) => report("disconnected", { reason }));
}

(async () => {
  await opened;
  try {
    const room = new Room();
    listen(room);
    const { url, jwt } = await grant(await (await fetch("/peer")).json());
    await room.connect(url, jwt);
    report("connected", { others: [...room.remoteParticipants.keys()] });
  } catch (error) {
    report("failed", { error: String(error) });
  }
})();
