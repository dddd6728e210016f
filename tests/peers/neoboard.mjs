// NeoBoard's rules for a document in Joi, written down from what is known of them, and what a client
// that has them does with updates. The version of Joi is the one that the rules were measured with.

import Joi from "joi";
import * as Y from "yjs";

const BANNED = ["__proto__", "constructor"];
const NOTHING = Joi.any().valid(null, 0, "");

const text = () => Joi.string();
const needed = () => text().required();
const oneOf = (...words) => text().valid(...words);
const id = () => text().not(...BANNED);
const ids = () => Joi.array().items(id());
const number = () => Joi.number().strict();
const size = () => number().empty(NOTHING).default(1);
const open = (fields) => Joi.object(fields).unknown();
const point = () => open({ x: number().required(), y: number().required() });
const rotation = () => number().min(0).less(360);

const element = (type, fields) =>
  open({ type: oneOf(type).required(), position: point().required(), ...fields }).required();

const TYPES = {
  shape: {
    kind: oneOf("rectangle", "circle", "ellipse", "triangle", "block-arrow").required(),
    width: size(),
    height: size(),
    fillColor: needed(),
    strokeColor: text(),
    strokeWidth: number(),
    borderRadius: number(),
    text: text().min(0).allow("").required(),
    textAlignment: oneOf("left", "center", "right"),
    textColor: text(),
    textBold: Joi.boolean(),
    textItalic: Joi.boolean(),
    stickyNote: Joi.boolean(),
    textSize: number(),
    textFontFamily: text().default("Inter"),
    rotation: rotation(),
    connectedPaths: ids(),
    attachedFrame: id(),
  },
  path: {
    kind: oneOf("line", "polyline").required(),
    points: Joi.array().items(point()).required(),
    strokeColor: needed(),
    startMarker: oneOf("arrow-head-line"),
    endMarker: oneOf("arrow-head-line"),
    connectedElementStart: id(),
    connectedElementEnd: id(),
    attachedFrame: id(),
  },
  image: {
    mxc: text().regex(/mxc:\/\/.*\/.*/).allow("").required(),
    fileName: needed(),
    mimeType: oneOf("image/gif", "image/jpeg", "image/png", "image/svg+xml"),
    width: size(),
    height: size(),
    rotation: rotation(),
    attachedFrame: id(),
  },
  frame: { width: size(), height: size(), attachedElements: ids() },
};

const anyElement = Joi.alternatives().conditional(
  ".type",
  Object.entries(TYPES).map(([type, fields]) => ({ is: type, then: element(type, fields) })),
);

const slide = (fields) =>
  open({
    elements: Joi.object().pattern(id(), anyElement).required(),
    elementIds: ids().required(),
    lock: open({ userId: needed() }),
    ...fields,
  }).required();

const board = (fields) =>
  open({
    slides: Joi.object().pattern(text(), slide(fields)).required(),
    slideIds: Joi.array().items(text()).required(),
  }).required();

const RULES = { 0: board({}), 1: board({ frameElementIds: ids().required() }) };

/** A shared type's content with the prototypes of maps before all else, as they may come first. */
function assembled(value) {
  if (value instanceof Y.Array) return value.toArray().map(assembled);
  if (!(value instanceof Y.Map)) return value instanceof Y.AbstractType ? value.toJSON() : value;
  const found = {};
  if (value.has("__proto__")) found.__proto__ = assembled(value.get("__proto__"));
  for (const [key, one] of value.entries()) {
    if (key !== "__proto__") found[key] = assembled(one);
  }
  return found;
}

/**
 * Whether a client would take a document, whatever order the keys of its maps came up in; one that
 * it cannot even put together it does not take.
 */
function accepts(doc, version) {
  const root = doc.getMap(version);
  try {
    return [root.toJSON(), assembled(root)].every(
      (content) => RULES[version].validate(content).error === undefined,
    );
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** A document that has these updates as they came; null if it cannot read one of them. */
function opened(updates) {
  const doc = new Y.Doc();
  try {
    for (const update of updates) Y.applyUpdate(doc, update);
  } catch {
    return null;
  }
  return doc;
}

/** Whether a client would take a document, and the copies of it on which it tries what follows. */
function keepsAccepting(doc, version) {
  try {
    const copies = [doc];
    for (let i = 0; i < 2; i++) copies.push(opened([Y.encodeStateAsUpdate(copies.at(-1))]));
    return copies.every((one) => accepts(one, version));
  } catch (error) {
    if (error instanceof TypeError) return false; // it cannot be written
    throw error;
  }
}

/**
 * What a client does with updates: each is tried, and left out where the board would not be
 * acceptable with it. So is what would have it refuse all that follows: it tries that on a copy of
 * the board, in which objects have lost their prototypes. Returns which it took, and what it has
 * then.
 */
export function receive(version, updates) {
  const kept = [];
  const taken = updates.map((update) => {
    const doc = opened([...kept, update]);
    const takes = doc !== null && keepsAccepting(doc, version);
    if (takes) kept.push(update);
    return takes;
  });
  return { taken, state: Y.encodeStateAsUpdate(opened(kept)) };
}

/** Whether a client takes a snapshot. */
export function loads(version, data) {
  const doc = opened([data]);
  return doc !== null && accepts(doc, version);
}
