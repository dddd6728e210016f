// Real Yjs for the tests: one JSON request a line in, one JSON answer a line out.

import { createInterface } from "node:readline";

import * as Y from "yjs";

import { loads, receive } from "./neoboard.mjs";
import { decoded, generate } from "./updates.mjs";

const encode = (bytes) => Buffer.from(bytes).toString("base64");
const decode = (text) => new Uint8Array(Buffer.from(text, "base64"));

/** A document that has received these updates in this order. */
function opened(updates, clientId) {
  const doc = new Y.Doc();
  if (clientId !== undefined) doc.clientID = clientId;
  for (const update of updates) Y.applyUpdate(doc, decode(update));
  return doc;
}

const isWaiting = (doc) => doc.store.pendingStructs !== null || doc.store.pendingDs !== null;

/** What Yjs makes of updates: content, whole state, state vector, whether something waits. */
function read({ version, updates }) {
  const doc = opened(updates);
  return {
    content: doc.getMap(version).toJSON(),
    roots: [...doc.share.keys()],
    state: encode(Y.encodeStateAsUpdate(doc)),
    stateVector: encode(Y.encodeStateVector(doc)),
    clocks: [...Y.decodeStateVector(Y.encodeStateVector(doc))],
    waiting: isWaiting(doc),
  };
}

/** How long Yjs takes for updates one by one, decoded from base64 before. */
function time({ version, updates }) {
  const decoded = updates.map(decode);
  const doc = new Y.Doc();
  doc.getMap(version);
  const before = process.cpuUsage();
  for (const update of decoded) Y.applyUpdate(doc, update);
  const { user, system } = process.cpuUsage(before);
  return { seconds: (user + system) / 1e6 };
}

const at = (list, index) => list[index % list.length];
const removed = (array, id) => {
  for (let i = array.length - 1; i >= 0; i--) if (array.get(i) === id) array.delete(i);
};

/** A drawn element, with the kinds of values that NeoBoard stores. */
function element(number) {
  const fields = {
    type: "shape",
    kind: at(["rectangle", "ellipse", "triangle"], number),
    position: { x: number, y: number / 7 },
    width: 100.5,
    height: -3,
    fillColor: "#ffefc1",
    text: at(["", "Grüße", "👩‍🎨 𝒜", "你好"], number),
    strokeColor: number % 2 ? undefined : "#000000",
    textBold: number % 3 === 0,
  };
  if (number % 4 === 0) fields.connectedPaths = [`other-${number}`];
  return new Y.Map(Object.entries(fields));
}

function slide(version) {
  const fields = { elements: new Y.Map(), elementIds: new Y.Array() };
  if (version === "1") fields.frameElementIds = new Y.Array();
  return new Y.Map(Object.entries(fields));
}

/** One action of a person, by its name; the numbers choose what it is done to. */
const actions = {
  add({ here }, number) {
    const id = `element-${number}`;
    here.get("elements").set(id, element(number));
    here.get("elementIds").push([id]);
  },
  change({ here, elementId }, number) {
    const found = here.get("elements").get(elementId);
    found?.set("position", { x: number, y: -number });
    found?.set(at(["text", "fillColor"], number), `value ${number} 🖌`);
  },
  unset({ here, elementId }) {
    here.get("elements").get(elementId)?.delete("strokeColor");
  },
  remove({ here, elementId }) {
    here.get("elements").delete(elementId);
    removed(here.get("elementIds"), elementId);
  },
  reorder({ here, elementId }, number) {
    if (elementId === undefined) return;
    const ids = here.get("elementIds");
    removed(ids, elementId);
    ids.insert(number % (ids.length + 1), [elementId]);
  },
  lock({ here }, number) {
    if (here.has("lock")) here.delete("lock");
    else here.set("lock", { userId: `@user${number}:example.org` });
  },
  addSlide({ root, version }, number) {
    if (version === "1") return;
    root.get("slides").set(`slide-${number}`, slide(version));
    root.get("slideIds").push([`slide-${number}`]);
  },
  removeSlide({ root, slideId, slideIds }) {
    if (slideIds.length < 2) return;
    root.get("slides").delete(slideId);
    removed(root.get("slideIds"), slideId);
  },
  reorderSlide({ root, slideId }, number) {
    const ids = root.get("slideIds");
    removed(ids, slideId);
    ids.insert(number % (ids.length + 1), [slideId]);
  },
};

/** Where an action happens: a slide that is there, and an element that is on it, if any is. */
function place(doc, version, choice) {
  const root = doc.getMap(version);
  const slideIds = [...root.get("slides").keys()].sort();
  const slideId = at(slideIds, choice);
  const here = root.get("slides").get(slideId);
  const elementId = at([...here.get("elements").keys()].sort(), choice);
  return { root, version, slideIds, slideId, here, elementId };
}

/**
 * People edit a board. Each has a document of his own; `sync` lets one of them receive all that
 * another one has. Returns the update of each step that made one, in this order.
 */
function edit({ version, base, clients, steps }) {
  const docs = clients.map((client) => opened([base], client));
  const made = [];
  docs.forEach((doc) => {
    doc.on("update", (update, origin) => origin === "sync" || made.push(encode(update)));
  });
  steps.forEach(([name, who, choice], number) => {
    const doc = at(docs, who);
    if (name === "sync") {
      Y.applyUpdate(doc, Y.encodeStateAsUpdate(at(docs, choice)), "sync");
    } else {
      doc.transact(() => actions[name](place(doc, version, choice), number));
    }
  });
  return { updates: made };
}

/** What NeoBoard does with updates that come one after the other, and with what it then has. */
function judge({ version, updates }) {
  const { taken, state } = receive(version, updates.map(decode));
  return { taken, state: encode(state) };
}

const requests = {
  read,
  judge,
  load: ({ version, data }) => ({ loads: loads(version, decode(data)) }),
  time,
  edit,
  generate: (request) => ({ updates: generate(request).map(encode) }),
  decode: ({ updates }) => ({ updates: updates.map((update) => decoded(decode(update))) }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...request } = JSON.parse(line);
  let answer;
  try {
    answer = requests[call](request);
  } catch (error) {
    answer = { error: String(error.stack) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
