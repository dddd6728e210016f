"""Every sentence the bot says in a room, in English and German.

Short, plain, and each says what the reader can do. Placeholders are filled with `str.format`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TEXTS: Mapping[str, Mapping[str, str]] = {
    "hello": {
        "en": (
            "Hello, I am a whiteboard keeper. While people are on a whiteboard of this room I join"
            " them, and I record what is drawn, by whom and when, and who was there, so that"
            " nothing is lost and the board can be exported. Moderators can say “{prefix} pause” to"
            " stop the recording, “{prefix} resume” to go on, “{prefix} leave” to send me away."
        ),
        "de": (
            "Hallo, ich bewahre Whiteboards auf. Solange jemand auf einem Whiteboard dieses Raums"
            " ist, nehme ich teil und zeichne auf, was wer wann zeichnet und wer dabei ist, damit"
            " nichts verloren geht und das Board exportiert werden kann. Moderatoren können mit"
            " „{prefix} pause“ die Aufzeichnung anhalten, mit „{prefix} resume“ fortsetzen"
            " und mich mit „{prefix} leave“ wegschicken."
        ),
    },
    "hello_unrecorded": {
        "en": (
            "Hello, I am a whiteboard bot. While people are on a whiteboard of this room I join"
            " them. I do not record what is drawn. Moderators can say “{prefix} leave” to send me"
            " away."
        ),
        "de": (
            "Hallo, ich bin ein Whiteboard-Bot. Solange jemand auf einem Whiteboard dieses Raums"
            " ist, nehme ich teil. Was gezeichnet wird, zeichne ich nicht auf. Moderatoren können"
            " mich mit „{prefix} leave“ wegschicken."
        ),
    },
    "paused": {
        "en": "Recording is paused. “{prefix} resume” goes on with it.",
        "de": "Die Aufzeichnung ist angehalten. „{prefix} resume“ setzt sie fort.",
    },
    "resumed": {
        "en": "Recording goes on.",
        "de": "Die Aufzeichnung läuft wieder.",
    },
    "unchanged": {
        "en": "Nothing to do: that is so already.",
        "de": "Nichts zu tun: Das ist schon so.",
    },
    "too_often": {
        "en": "Recording stays paused: I was told to go on too often. Say it again in a minute.",
        "de": (
            "Die Aufzeichnung bleibt angehalten: Ich sollte sie zu oft fortsetzen. Sag es in einer"
            " Minute noch einmal."
        ),
    },
    "bye": {
        "en": "Goodbye. Invite me again when you need me.",
        "de": "Auf Wiedersehen. Bei Bedarf einfach wieder einladen.",
    },
    "status": {
        "en": "{recording}. Whiteboards here: {boards}. Taking part now: {present}.",
        "de": "{recording}. Whiteboards hier: {boards}. Gerade dabei: {present}.",
    },
    "status_saved": {
        "en": (
            "{recording}. Whiteboards here: {boards}. Taking part now: {present}. Everything that"
            " reached me is saved in the room."
        ),
        "de": (
            "{recording}. Whiteboards hier: {boards}. Gerade dabei: {present}. Alles, was mich"
            " erreicht hat, ist im Raum gespeichert."
        ),
    },
    "status_until": {
        "en": (
            "{recording}. Whiteboards here: {boards}. Taking part now: {present}. Saved in the room"
            " up to {time}."
        ),
        "de": (
            "{recording}. Whiteboards hier: {boards}. Gerade dabei: {present}. Im Raum gespeichert"
            " bis {time}."
        ),
    },
    "recording": {"en": "I am recording", "de": "Ich zeichne auf"},
    "not_recording": {"en": "I am not recording", "de": "Ich zeichne nicht auf"},
    "yes": {"en": "yes", "de": "ja"},
    "no": {"en": "no", "de": "nein"},
    "help": {
        "en": (
            "“{prefix} status”, and for people with power {power} or more: “{prefix} pause”,"
            " “{prefix} resume”, “{prefix} leave”."
        ),
        "de": (
            "„{prefix} status“, und für alle mit Berechtigungsstufe {power} oder mehr:"
            " „{prefix} pause“, „{prefix} resume“, „{prefix} leave“."
        ),
    },
    "no_power": {
        "en": "Only people with power {power} or more (moderators) can do that.",
        "de": "Das können nur Mitglieder ab Berechtigungsstufe {power} (Moderatoren).",
    },
    "forbidden": {
        "en": (
            "I may not announce myself on the whiteboard here. A room administrator can allow it:"
            " in the room's settings, under roles and permissions, set the power level of"
            " “{type}” to 0, or give {user} power {needed}."
        ),
        "de": (
            "Ich darf mich auf dem Whiteboard hier nicht anmelden. Ein Administrator des Raums kann"
            " das erlauben: in den Raumeinstellungen unter Rollen und Berechtigungen die Stufe"
            " von „{type}“ auf 0 setzen oder {user} die Stufe {needed}"
            " geben."
        ),
    },
    "full": {
        "en": (
            "I cannot be on the whiteboard here at the moment: I am on as many as the limits of my"
            " homeserver carry. I will come by myself as soon as there is a place. Those who run me"
            " can lift the limits."
        ),
        "de": (
            "Auf dem Whiteboard hier kann ich gerade nicht dabei sein: Ich bin schon auf so vielen,"
            " wie die Grenzwerte meines Homeservers zulassen. Sobald ein Platz frei wird, komme ich"
            " von selbst. Wer mich betreibt, kann die Grenzwerte anheben."
        ),
    },
    "unsaved": {
        "en": (
            "The whiteboard here is not being saved: the homeserver refuses what I write. Those who"
            " run me can find out why."
        ),
        "de": (
            "Das Whiteboard hier wird nicht gespeichert: Der Homeserver lehnt ab, was ich schreibe."
            " Wer mich betreibt, kann herausfinden, warum."
        ),
    },
    "unsaved_power": {
        "en": (
            "The whiteboard here is not being saved: I have power level {own}, and this room"
            " requires more for what whiteboards are saved with: {kinds}. Whoever has power level"
            " {mends} or more can allow it: in the room's settings, under roles and permissions,"
            " set these event types to 0, so that everybody's changes are saved, or give"
            " {user} power level {needed}. I will then save it by myself."
        ),
        "de": (
            "Das Whiteboard hier wird nicht gespeichert: Ich habe die Berechtigungsstufe {own},"
            " und dieser Raum verlangt mehr für das, womit Whiteboards gespeichert werden:"
            " {kinds}. Wer mindestens die Stufe {mends} hat, kann das erlauben: in den"
            " Raumeinstellungen unter Rollen und Berechtigungen diese Ereignistypen auf 0 setzen,"
            " damit gespeichert wird, was immer jemand ändert, oder {user} die Stufe {needed}"
            " geben. Ich speichere es dann von selbst."
        ),
    },
    "saved_again": {
        "en": "The whiteboard here is being saved again.",
        "de": "Das Whiteboard hier wird wieder gespeichert.",
    },
    "repair_removed": {
        "en": (
            "Something on the whiteboard here was broken, so that nobody saw what its author drew"
            " after it. I have removed it: the rest of that work is visible again. Whoever misses"
            " something can draw it again."
        ),
        "de": (
            "Auf dem Whiteboard hier war etwas kaputt, sodass niemand sah, was danach von derselben"
            " Person kam. Ich habe es entfernt: Alles andere ist wieder sichtbar. Was fehlt, kann"
            " neu gezeichnet werden."
        ),
    },
    "repair_restored": {
        "en": (
            "A change on the whiteboard here was broken, so that nobody saw what its author drew"
            " after it. I have taken it back: the rest of that work is visible again. Whoever"
            " misses something can change it again."
        ),
        "de": (
            "Auf dem Whiteboard hier war eine Änderung kaputt, sodass niemand sah, was danach von"
            " derselben Person kam. Ich habe sie zurückgenommen: Alles andere ist wieder sichtbar."
            " Was fehlt, kann noch einmal geändert werden."
        ),
    },
    "unheard": {
        "en": (
            "Somebody here uses the newer generation of NeoBoard, which I cannot hear: my"
            " homeserver lacks what that takes (sticky events, MSC4354). What is drawn there I get"
            " only once it is saved. Those who run my homeserver can switch it on."
        ),
        "de": (
            "Hier benutzt jemand die neuere Generation von NeoBoard, die ich nicht hören kann:"
            " Meinem Homeserver fehlt, was dafür nötig ist (Sticky Events, MSC4354). Was dort"
            " gezeichnet wird, bekomme ich erst, wenn es gespeichert wird. Wer meinen Homeserver"
            " betreibt, kann es einschalten."
        ),
    },
    "bridged": {
        "en": (
            "People here use two generations of NeoBoard, which do not see each other's drawing. I"
            " pass it on between them: what those of the other generation draw looks as if I did"
            " it. Moderators can end that by sending me away, with “{prefix} leave”; those who run"
            " me can switch off the passing on alone."
        ),
        "de": (
            "Hier werden zwei Generationen von NeoBoard benutzt, die einander nicht zeichnen sehen."
            " Ich vermittle dazwischen: Was in der anderen Generation gezeichnet wird, sieht aus,"
            " als käme es von mir. Moderatoren können das beenden, indem sie mich mit"
            " „{prefix} leave“ wegschicken; wer mich betreibt, kann allein das Vermitteln"
            " abschalten."
        ),
    },
    "encrypted": {
        "en": "I cannot work in encrypted rooms yet, so I am leaving.",
        "de": "In verschlüsselten Räumen kann ich noch nicht arbeiten und gehe deshalb wieder.",
    },
    "archive_failing": {
        "en": "Done, but I cannot write to my archive at the moment: after a restart I will not"
        " remember it. Please tell those who run me.",
        "de": "Erledigt, aber ich kann gerade nicht in mein Archiv schreiben: Nach einem Neustart"
        " weiß ich das nicht mehr. Bitte sagt denen Bescheid, die mich betreiben.",
    },
}


def say(name: str, languages: Sequence[str], **values: object) -> str:
    """Return a sentence in the configured languages, one below the other.

    A value that names a sentence itself (`recording`, `yes`) is translated too.

    Raises:
        KeyError: no such sentence or language.
    """
    return "\n".join(
        TEXTS[name][language].format(
            **{
                key: TEXTS[value][language] if value in TEXTS else value  # type: ignore[index]
                for key, value in values.items()
            }
        )
        for language in languages
    )
