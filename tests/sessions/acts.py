"""What a person does to a board, decided by dice: one edit as NeoBoard makes it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from pycrdt import Doc, Map

from tests.sessions.script import Action, Script
from tests.stack.client import edits
from tests.stack.client.edits import Edit
from tests.stack.client.elements import path, shape

_ID_LENGTH = 21
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

Content = Mapping[str, Any]


def edit(
    doc: Doc[Any], content: Content, action: Action, script: Script, user: str
) -> bytes | None:
    """Do something; return its update, None where there is nothing to do that to.

    Args:
        doc: the person's document, up to date.
        content: what he sees.
        action: what.
        script: how large strokes are.
        user: his id.
    """
    dice = random.Random(f"{script.seed} {action.dice}")
    chosen = choose(dice, content["slides"], action.kind, script.big, user)
    if chosen is None:
        return None
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    with doc.transaction():
        chosen(doc.get("0", type=Map))
    doc.unobserve(subscription)
    (update,) = updates
    return update


def choose(
    dice: random.Random, slides: list[Content], kind: str, big: float, user: str
) -> Edit | None:
    """Decide what exactly to do; None where there is nothing to do that to."""
    slide = dice.choice(slides)
    found = slide["elements"]
    match kind:
        case "draw":
            return edits.add_element(slide["id"], _id(dice), _element(dice, big))
        case "add_slide":
            return edits.add_slide(_id(dice), [(_id(dice), _element(dice, big))])
        case "delete_slide":
            # The first one stays: two people must not delete the last two at once.
            return edits.delete_slide(dice.choice(slides[1:])["id"]) if len(slides) > 1 else None
        case "lock":
            return None if "lock" in slide else edits.lock_slide(slide["id"], user)
        case "unlock":
            return edits.unlock_slide(slide["id"]) if "lock" in slide else None
    return _alter(dice, slide["id"], found, kind) if found else None


def _alter(dice: random.Random, slide: str, found: list[Content], kind: str) -> Edit:
    element = dice.choice(found)["id"]
    match kind:
        case "move":
            position = {"x": dice.randrange(1900), "y": dice.randrange(1000)}
            return edits.change_element(slide, element, {"position": position})
        case "change":
            color = f"#{dice.randrange(16**6):06x}"
            return edits.change_element(slide, element, {"strokeColor": color})
        case "delete":
            return edits.delete_element(slide, element)
    return edits.reorder_element(slide, element, dice.randrange(len(found)))


def _element(dice: random.Random, big: float) -> dict[str, Any]:
    if dice.random() < 0.5:
        return shape(at=(dice.randrange(1900), dice.randrange(1000)), text="abc")
    count = 200 if dice.random() < big else dice.randint(2, 6)
    return path([(dice.randrange(500), dice.randrange(500)) for _ in range(count)])


def _id(dice: random.Random) -> str:
    return "".join(dice.choices(_LETTERS, k=_ID_LENGTH))
