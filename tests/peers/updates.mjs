// Updates of every shape that Yjs writes, made from a seed, and what Yjs' own decoder reads in them.

import * as Y from "yjs";

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const CLIENTS = [0, 1, 127, 128, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 40 + 3];
const WORDS = ["a", "slide", "Grüße", "👩‍🎨", "𝒜𝒷", "", "x".repeat(300)];

/** One change of a document: any type, any content. */
function change(doc, pick) {
  const one = (list) => list[Math.floor(pick() * list.length)];
  const upTo = (count) => Math.floor(pick() * (count + 1));
  const value = () =>
    one([
      () => null,
      () => undefined,
      () => pick() < 0.5,
      () => upTo(1e6) - 5e5,
      () => (pick() - 0.5) * 1e300,
      () => one(WORDS),
      () => [1, { deep: [one(WORDS)] }],
      () => ({ [one(WORDS)]: upTo(9) }),
      () => new Uint8Array([0, 255, upTo(255)]),
      () => new Y.Map([[one(WORDS), one(WORDS)]]),
      () => Y.Array.from([1, one(WORDS), null]),
      () => new Y.Text(one(WORDS)),
    ])();
  const plain = () => one([1.5, one(WORDS), null, true, { a: [1] }]);
  const nodes = () => [new Y.XmlText(one(WORDS)), new Y.XmlElement("p"), new Y.XmlHook("h")];
  one([
    () => doc.getMap("map").set(one(WORDS), value()),
    () => doc.getMap("map").delete(one(WORDS)),
    () => {
      const array = doc.getArray("array");
      array.insert(upTo(array.length), [value() ?? null, value() ?? null]);
    },
    () => {
      const array = doc.getArray("array");
      if (array.length) array.delete(upTo(array.length - 1), 1);
    },
    () => {
      const text = doc.getText("text");
      text.insert(upTo(text.length), one(WORDS), pick() < 0.3 ? { bold: true } : undefined);
    },
    () => {
      const text = doc.getText("text");
      if (text.length > 3) text.delete(upTo(text.length - 3), 2);
    },
    () => {
      const text = doc.getText("text");
      if (text.length) text.format(0, upTo(text.length), { color: plain() });
    },
    () => doc.getText("text").insertEmbed(0, { image: one(WORDS) }),
    () => doc.getXmlFragment("xml").insert(0, [one(nodes())]),
    () => doc.getXmlFragment("xml").toArray()[0]?.setAttribute?.("at", one(WORDS)),
    () => doc.getMap("docs").set(one(WORDS), new Y.Doc({ guid: `guid-${upTo(9)}` })),
  ])();
}

/** So many updates: single ones, merged ones with and without gaps, differences, whole states. */
export function generate({ seed, count }) {
  const pick = random(seed);
  const upTo = (limit) => Math.floor(pick() * (limit + 1));
  const updates = [];
  while (updates.length < count) {
    const singles = [];
    const docs = CLIENTS.filter(() => pick() < 0.5).map((client) => {
      const doc = new Y.Doc({ gc: pick() < 0.8 });
      if (pick() < 0.1) Y.applyUpdate(doc, collected(client, 2 ** 31 - 1e6), "sync");
      doc.clientID = client;
      doc.on("update", (update, origin) => origin === "sync" || singles.push(update));
      return doc;
    });
    for (let step = upTo(30); step > 0 && docs.length; step--) {
      const doc = docs[upTo(docs.length - 1)];
      if (pick() < 0.25) {
        const other = docs[upTo(docs.length - 1)];
        Y.applyUpdate(doc, Y.encodeStateAsUpdate(other), "sync");
      } else {
        doc.transact(() => {
          for (let more = upTo(2); more >= 0; more--) change(doc, pick);
        });
      }
    }
    for (const doc of docs) {
      const before = new Map([...Y.decodeStateVector(Y.encodeStateVector(doc))]
        .map(([client, clock]) => [client, upTo(clock)]));
      updates.push(Y.encodeStateAsUpdate(doc));
      updates.push(Y.diffUpdate(Y.encodeStateAsUpdate(doc), stateVector(before)));
    }
    for (let times = 3; times > 0 && singles.length; times--) {
      const some = singles.filter(() => pick() < 0.5);
      if (some.length) updates.push(Y.mergeUpdates(some));
    }
    updates.push(...singles);
  }
  return updates.slice(0, count);
}

/** Numbers as lib0 encodes them. */
function numbers(...values) {
  const bytes = [];
  for (let value of values) {
    while (value > 127) {
      bytes.push(128 | (value % 128));
      value = Math.floor(value / 128);
    }
    bytes.push(value);
  }
  return new Uint8Array(bytes);
}

/** A state vector as Yjs encodes it. */
const stateVector = (clocks) => numbers(clocks.size, ...[...clocks].flat());

/** All that is left of a long history: so many clocks whose items are gone. */
const collected = (client, length) => numbers(1, 1, client, 0, 0, length, 0);

const id = (one) => (one ? [one.client, one.clock] : null);

/** What Yjs' own decoder reads in an update. */
export function decoded(update) {
  const { structs, ds } = Y.decodeUpdate(update);
  const meta = Y.parseUpdateMeta(update);
  return {
    structs: structs
      .filter((one) => one.constructor !== Y.Skip)
      .map((one) => [
        one.id.client,
        one.id.clock,
        one.length,
        one.content ? one.content.getRef() : 0,
        id(one.origin),
        id(one.rightOrigin),
        typeof one.parent === "string" || !one.parent ? (one.parent ?? null) : id(one.parent),
        one.parentSub ?? null,
      ]),
    deletes: [...ds.clients].flatMap(([client, items]) =>
      items.map((one) => [client, one.clock, one.clock + one.len]),
    ),
    from: [...meta.from],
    to: [...meta.to],
    stateVector: [...Y.decodeStateVector(Y.encodeStateVectorFromUpdate(update))],
  };
}
