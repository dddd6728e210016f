"""How long somebody may keep the bot busy with what is refused."""

from __future__ import annotations

from bot import patience as module
from bot.patience import BUDGET, WINDOW, Patience
from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY
from bot.whiteboard.verdict import Outcome, Verdict
from tests.fakes.rooms import ALICE
from tests.unit.whiteboard.craft import TRUE, any_content, item, update
from tests.unit.whiteboard.people import Person

BOB = "@bob:here"
REFUSED = update((9, 0, [item(ANY, any_content(TRUE), "0", "slideIds")]))


class Slow(Document):
    """A document that takes as long for each update as a test wants."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.now = self.spent = 0.0
        self.tried = 0
        self.patience = Patience(lambda: self.now, lambda: self.spent)

    def apply(self, updates: object) -> list[Outcome]:
        self.tried += 1
        self.spent += self.seconds
        assert isinstance(updates, list)
        return super().apply(updates)

    def hear(self, data: bytes, sender: str | None) -> Verdict:
        return self.patience.apply(self, data, sender).verdict


def test_who_wastes_too_much_is_not_tried_for_a_while_and_nobody_else_suffers() -> None:
    document, alice = Slow(BUDGET / 9.5), Person(5)
    verdicts = [document.hear(REFUSED, BOB) for _ in range(100)]
    assert document.tried == 10
    assert verdicts == [Verdict.REFUSED] * 10 + [Verdict.GIVEN_UP] * 90
    assert document.lost == 90
    assert document.has_gap
    assert document.hear(alice.add("a"), ALICE) is Verdict.CHANGED
    assert document.hear(REFUSED, None) is Verdict.REFUSED
    bob = Person(6)
    lost = bob.add("b")
    assert document.hear(lost, BOB) is Verdict.GIVEN_UP
    document.now = WINDOW
    assert document.hear(REFUSED, BOB) is Verdict.REFUSED
    later = bob.add("c")
    assert document.hear(later, BOB) is Verdict.WAITING
    assert document.merge_snapshot(bob.state()).verdict is Verdict.CHANGED
    shown = {one["id"] for one in document.content()["slides"][0]["elements"]}
    assert shown == {"a", "b", "c"}


def test_what_changes_a_board_is_never_counted_nor_what_is_quick() -> None:
    document, alice = Slow(2 * BUDGET), Person(5)
    assert {document.hear(alice.add(f"e{n}"), ALICE) for n in range(5)} == {Verdict.CHANGED}
    document.seconds = module.FREE
    assert {document.hear(REFUSED, ALICE) for _ in range(5_000)} == {Verdict.REFUSED}


def test_what_is_no_update_is_refused_however_little_patience_is_left() -> None:
    document = Slow(2 * BUDGET)
    document.hear(REFUSED, BOB)
    assert document.hear(b"nonsense", BOB) is Verdict.REFUSED
    assert document.lost == 0
