"""The sections of the configuration: defaults, rules between keys, the whole file."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.config import Config, HandlerEntry, Homeserver
from bot.config.file import KindOf, example, init, load
from bot.config.secret import Secret
from bot.config.settings import Problem
from bot.config.yamltree import Table, parse
from bot.errors import ConfigError, UsageError

ACCOUNT = """
homeserver:
  url: http://127.0.0.1:8008/
  user_id: "@bot:example.org:8448"
"""
SHOWN_SECRETS = re.findall(r"(?:password|access_token|api_secret): (\S+)", example())
PASSWORD = {"BOARDKEEPER_HOMESERVER_PASSWORD": "hush"}


class Files:
    """A configuration file to write and load."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "config.yaml"

    def load(
        self, text: str, environ: dict[str, str] | None = None, kind_of: KindOf | None = None
    ) -> Config:
        self.path.write_text(ACCOUNT + text, "utf-8")
        self.path.chmod(0o600)
        return load(self.path, PASSWORD if environ is None else environ, kind_of)

    def mistakes(self, text: str, **arguments: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(text, **arguments)
        assert caught.value.source == str(self.path)
        return [str(each) for each in caught.value.mistakes]

    def warnings(self, text: str, **arguments: Any) -> list[str]:
        return [str(each) for each in self.load(text, **arguments).warnings]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_the_account_alone_is_a_configuration(files: Files) -> None:
    config = files.load("")
    assert config.homeserver == Homeserver(
        "http://127.0.0.1:8008", "@bot:example.org:8448", password=Secret("hush")
    )
    assert config.homeserver.server_name == "example.org:8448"
    assert config.homeserver.well_known_url == (
        "https://example.org:8448/.well-known/matrix/client"
    )
    assert config.data.folder == files.folder / "data"
    assert config.invites.allow == ("@*:example.org:8448",)
    assert [(each.use, each.name) for each in config.handlers] == [
        ("record", "record"),
        ("log", "log"),
    ]
    assert config.boards.default_root == "0"
    assert config.warnings == ()


def test_values_replace_defaults(files: Files) -> None:
    config = files.load("""
  well_known: https://example.org/wk
data: {folder: /data}
invites: {allow: [], deny: ["@evil:{server}"]}
boards: {default_version: infinite}
web: {listen: "0.0.0.0:0"}
rtc: {foci: ["https://a.example/jwt/"]}
""")
    assert config.homeserver.well_known_url == "https://example.org/wk"
    assert config.data.folder == Path("/data")
    assert config.invites.allow == ()
    assert config.invites.deny == ("@evil:example.org:8448",)
    assert config.boards.default_root == "1"
    assert config.web.listen == ("0.0.0.0", 0)
    assert config.rtc.foci == ("https://a.example/jwt",)


def test_mistakes_of_all_sections_are_reported_in_the_order_of_the_lines(files: Files) -> None:
    found = files.mistakes(
        """  device_id: a:b
rtc: {refresh: 20s, delay: 21s}
livekt: {}
log: {level: trace}
web: {listen: 8080}
handlers:
  - use: record
  - ue: log
""",
        environ={},
    )
    assert found == [
        (
            "line 2: homeserver.password: is missing; set password, password_file or"
            " BOARDKEEPER_HOMESERVER_PASSWORD (or the same for access_token)"
        ),
        (
            "line 5: homeserver.device_id: must be BOARDKEEPER, with capital letters and digits"
            " after it if need be"
        ),
        "line 6: rtc.delay: must be at least refresh and 3s (23s)",
        "line 7: livekt: is no setting; did you mean livekit?",
        "line 8: log.level: must be one of debug, info, warning, error",
        "line 9: web.listen: must be host:port, such as 127.0.0.1:8080",
        "line 12: handlers[1].ue: is no setting; did you mean use?",
        "line 12: handlers[1].use: is missing",
    ]


def test_one_way_to_log_in(files: Files) -> None:
    config = files.load("  access_token: syt_x\n", environ={})
    assert config.homeserver.access_token == Secret("syt_x")
    assert files.mistakes("  access_token: syt_x\n") == [
        "line 5: homeserver.access_token: cannot be used together with password"
    ]


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("{delay: 8s}", []),
        ("{delay: 7.9s}", ["line 5: rtc.delay: must be at least refresh and 3s (8s)"]),
        ("{refresh: 10s}", []),
        ("{refresh: 16s}", ["line 5: rtc.delay: must be at least refresh and 3s (19s)"]),
        ("{refresh: 0s}", ["line 5: rtc.refresh: must be between 1s and 10m"]),
    ],
)
def test_a_restart_has_the_time_to_succeed(files: Files, text: str, mistakes: list[str]) -> None:
    if mistakes:
        assert files.mistakes(f"rtc: {text}") == mistakes
    else:
        assert len(files.warnings(f"rtc: {text}")) == 1


def test_a_delay_of_three_refreshes_is_not_warned_of(files: Files) -> None:
    assert files.warnings("rtc: {delay: 15s}") == []
    assert files.warnings("rtc: {delay: 14s}") == [
        "line 5: rtc.delay: is less than three times refresh (15s): short outages show"
    ]


def test_keys_of_the_sfu_are_there_exactly_if_they_are_used(files: Files) -> None:
    whole = {**PASSWORD, "BOARDKEEPER_LIVEKIT_API_SECRET": "hush"}
    good = files.load("livekit: {auth: api_key, url: 'wss://a', api_key: k}", environ=whole)
    assert good.livekit.api_secret == Secret("hush")
    assert files.mistakes("livekit: {auth: api_key}") == [
        "line 5: livekit.url: is missing: auth needs it",
        "line 5: livekit.api_key: is missing: auth needs it",
        (
            "line 5: livekit.api_secret: is missing, api_secret_file or"
            " BOARDKEEPER_LIVEKIT_API_SECRET: auth needs it"
        ),
    ]
    assert files.mistakes("livekit: {url: 'wss://a', api_key: k}") == [
        "line 5: livekit.url: is only used with auth: api_key",
        "line 5: livekit.api_key: is only used with auth: api_key",
    ]


@pytest.mark.parametrize("text", ["[]", "[de, de]"])
def test_languages_are_one_or_both(files: Files, text: str) -> None:
    assert files.mistakes(f"notices: {{languages: {text}}}") == [
        "line 5: notices.languages: must be en, de or both"
    ]


@dataclass(frozen=True)
class HookSettings:
    url: str
    token: Secret
    retries: int = 3


@dataclass(frozen=True)
class NoSettings:
    pass


def kind_of(use: str) -> type[Any]:
    kinds: dict[str, type[Any]] = {
        "record": NoSettings,
        "log": NoSettings,
        "my.mod:Hook": HookSettings,
    }
    if use not in kinds:
        raise UsageError(f"there is no handler {use}")
    return kinds[use]


class TestHandlers:
    def test_settings_are_read_into_the_handlers_own_type(self, files: Files) -> None:
        text = """handlers:
  - use: my.mod:Hook
    settings: {url: a}
  - {use: my.mod:Hook, name: second, settings: {url: b, token: t2}}
"""
        environ = {**PASSWORD, "BOARDKEEPER_HANDLERS_HOOK_SETTINGS_TOKEN": "t1"}
        config = files.load(text, environ, kind_of)
        assert [(each.name, each.values) for each in config.handlers] == [
            ("Hook", HookSettings("a", Secret("t1"))),
            ("second", HookSettings("b", Secret("t2"))),
        ]

    def test_the_default_handlers_are_read_too(self, files: Files) -> None:
        config = files.load("", None, kind_of)
        assert [each.values for each in config.handlers] == [NoSettings(), NoSettings()]

    def test_without_their_types_settings_stay_a_tree(self, files: Files) -> None:
        config = files.load("handlers: [{use: x, settings: {a: 1}}]")
        assert isinstance(config.handlers[0].settings, Table)
        assert config.handlers[0].values is None

    def test_their_mistakes_are_reported_with_all_others(self, files: Files) -> None:
        text = """presence: {when: sometimes}
handlers:
  - use: my.mod:Hook
    settings:
      uri: a
  - use: my.mod:Hook
    name: other
  - use: nowhere
  - {use: record, name: other}
  - 3
"""
        assert files.mistakes(text, kind_of=kind_of) == [
            "line 5: presence.when: must be one of active, always",
            "line 8: handlers.Hook.settings.url: is missing",
            (
                "line 8: handlers.Hook.settings.token: is missing; set token, token_file or"
                " BOARDKEEPER_HANDLERS_HOOK_SETTINGS_TOKEN"
            ),
            "line 9: handlers.Hook.settings.uri: is no setting; did you mean url?",
            "line 10: handlers.other.settings.url: is missing",
            (
                "line 10: handlers.other.settings.token: is missing; set token, token_file or"
                " BOARDKEEPER_HANDLERS_OTHER_SETTINGS_TOKEN"
            ),
            "line 12: handlers[2].use: there is no handler nowhere",
            "line 13: handlers[3]: a second handler is called other; give it a `name` of its own",
            "line 14: handlers[4]: must be a table of keys and values",
        ]

    def test_an_optional_one_that_is_not_there_is_left_out(self, files: Files) -> None:
        text = "handlers: [{use: nowhere, optional: true}, {use: log}]"
        config = files.load(text, None, kind_of)
        assert [each.name for each in config.handlers] == ["log"]
        assert [str(each) for each in config.warnings] == [
            "line 5: handlers[0].use: there is no handler nowhere"
        ]

    def test_rooms_have_settings_of_their_own(self, files: Files) -> None:
        text = """handlers:
  - use: my.mod:Hook
    settings: {url: a}
    rooms:
      "!one:h": {url: b}
      "!two:h": {token_file: token}
      "!three:h": off
      "!four:h": {}
"""
        (files.folder / "token").write_text("t2")
        environ = {
            **PASSWORD,
            "BOARDKEEPER_HANDLERS_HOOK_SETTINGS_TOKEN": "t1",
            "BOARDKEEPER_HANDLERS_HOOK_ROOMS_FOUR_H_TOKEN": "t4",
        }
        [entry] = files.load(text, environ, kind_of).handlers
        assert entry.room_values == {
            "!one:h": HookSettings("b", Secret("t1")),
            "!two:h": HookSettings("a", Secret("t2")),
            "!three:h": None,
            "!four:h": HookSettings("a", Secret("t4")),
        }

    def test_mistakes_in_them_have_path_and_line(self, files: Files) -> None:
        text = """handlers:
  - use: my.mod:Hook
    settings: {url: a}
    rooms:
      "!one:h": {uri: b}
      "!two:h": {url: [], token: ""}
      "!three:h": on
      room: off
  - use: my.mod:Hook
    name: other
    rooms:
      "!one:h": {url: b, urk: c}
"""
        environ = {**PASSWORD, "BOARDKEEPER_HANDLERS_HOOK_SETTINGS_TOKEN": "t1"}
        room = "must be the id of a room, such as !abc:example.org, in quotes"
        assert files.mistakes(text, environ=environ, kind_of=kind_of) == [
            "line 9: handlers.Hook.rooms.!one:h.uri: is no setting; did you mean url?",
            "line 10: handlers.Hook.rooms.!two:h.url: must be a single value",
            "line 10: handlers.Hook.rooms.!two:h.token: is empty",
            (
                "line 11: handlers.Hook.rooms.!three:h: must be a table of settings that are other"
                " there, or off"
            ),
            f"line 12: handlers.Hook.rooms.room: {room}",
            "line 13: handlers.other.settings.url: is missing",
            (
                "line 13: handlers.other.settings.token: is missing; set token, token_file or"
                " BOARDKEEPER_HANDLERS_OTHER_SETTINGS_TOKEN"
            ),
            "line 16: handlers.other.rooms.!one:h.urk: is no setting; did you mean url?",
        ]

    def test_a_handler_has_a_word_in_what_its_entry_holds(self, files: Files) -> None:
        def problems_of(entry: HandlerEntry) -> Iterator[Problem]:
            if entry.rooms:
                yield Problem("rooms", "cannot be")

        text = """handlers:
  - use: record
    rooms: {"!a:h": off}
  - use: log
"""
        files.path.write_text(ACCOUNT + text)
        with pytest.raises(ConfigError, match=r"line 7: handlers\[0\].rooms: cannot be"):
            load(files.path, PASSWORD, kind_of, problems_of)

    def test_no_list_no_handlers(self, files: Files) -> None:
        assert files.load("handlers: []", None, kind_of).handlers == ()
        assert files.mistakes("handlers: record", kind_of=kind_of) == [
            "line 5: handlers: must be a list; [] for an empty one"
        ]


class TestFile:
    def test_it_must_be_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="does not exist; `boardkeeper init` writes one"):
            load(tmp_path / "none.yaml", {})

    def test_it_must_be_a_table(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yaml"
        path.write_text("- a\n")
        with pytest.raises(ConfigError, match="line 1: must be a table"):
            load(path, {})

    def test_relative_paths_are_relative_to_it(self, files: Files) -> None:
        here = Path.cwd()
        try:
            os.chdir(files.folder)
            files.load("")
            config = load(Path("config.yaml"), PASSWORD)
        finally:
            os.chdir(here)
        assert config.data.folder == files.folder / "data"

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
    def test_a_secret_in_a_file_open_to_others_is_warned_of(self, files: Files, mode: int) -> None:
        files.load("  password: x\n", environ={})
        files.path.chmod(mode)
        warnings = [str(each) for each in load(files.path, {}).warnings]
        assert warnings == [
            f"holds a secret and is open to other users of this machine: chmod 600 {files.path}"
        ]

    def test_without_a_secret_in_it_the_file_may_be_open(self, files: Files) -> None:
        files.load("")
        files.path.chmod(0o644)
        assert load(files.path, PASSWORD).warnings == ()

    def test_nothing_that_is_shown_holds_a_secret(self, files: Files) -> None:
        config = files.load("  password: hush-hush\n", environ={})
        assert "hush-hush" not in repr(config)
        for text in ("  password: hush-hush\n  x: 1\n", "  password: [hush-hush]\n"):
            assert "hush-hush" not in str(files.mistakes(text, environ={}))

    @pytest.mark.parametrize("text", sorted({*SHOWN_SECRETS}))
    def test_a_secret_of_the_example_is_one_nobody_has(self, files: Files, text: str) -> None:
        [warning] = files.load(f"  password: {text}\n", environ={}).warnings
        assert str(warning) == (
            "line 5: homeserver.password: is still the example's; write the real one"
        )

    def test_wherever_it_comes_from(self, files: Files) -> None:
        (files.path.parent / "secret").write_text("change-me\n")
        (files.path.parent / "secret").chmod(0o644)
        readable, still = files.load("  password_file: secret\n", environ={}).warnings
        assert "chmod" in readable.text
        assert still.text == "is still the example's; write the real one, in password_file"
        name = "BOARDKEEPER_HOMESERVER_PASSWORD"
        [still] = files.load("", environ={name: "change-me"}).warnings
        assert (still.line, still.text.rpartition(" ")[2]) == (0, name)


class TestInit:
    def test_it_writes_the_example_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yaml"
        init(path)
        assert path.read_text("utf-8") == example()
        assert path.stat().st_mode & 0o777 == 0o600
        # All that is to be said of it: nobody has such a server, nor such a password.
        warnings = load(path, {}).warnings
        names = ["url", "user_id", "password"]  # as in the file
        assert [one.path for one in warnings] == [f"homeserver.{name}" for name in names]
        assert all("is still the example's" in one.text for one in warnings)

    def test_it_overwrites_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yaml"
        path.write_text("mine")
        with pytest.raises(UsageError, match="exists already"):
            init(path)
        assert path.read_text() == "mine"

    def test_it_says_when_it_cannot_write(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be written: No such file"):
            init(tmp_path / "none" / "config.yaml")


def active_and_shown(text: str) -> str:
    """Return the example with its commented-out keys (`#key: value`) switched on."""
    lines = [
        line.replace("#", "", 1) if line.lstrip()[:1] == "#" and line.lstrip()[1:2] != " " else line
        for line in text.splitlines()
    ]
    return "\n".join(line for line in lines if line.strip() != "#")


def keys_of(kind: type[Any], path: str = "") -> dict[str, Any]:
    """Return every key of a section and of those in it, with its default."""
    found: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for each in fields(kind):
        here = f"{path}{each.name}"
        if not each.metadata.get("in_file", True):
            continue
        if is_dataclass(hints[each.name]):
            found.update(keys_of(hints[each.name], f"{here}."))
        else:
            found[here] = each.default
    return found


def written(node: Any, path: str = "") -> set[str]:
    if not isinstance(node, Table):
        return {path[:-1]}
    parts = [written(value, f"{path}{key}.") for key, (_, value) in node.entries.items()]
    return set().union(*parts)


class TestExample:
    def test_the_package_carries_the_example_of_the_project(self) -> None:
        project = Path(__file__).parents[3] / "config.example.yaml"
        assert project.read_text("utf-8") == example()

    def test_it_holds_every_key_and_no_other(self) -> None:
        root = parse(active_and_shown(example()), [])
        assert written(root) == set(keys_of(Config))

    def test_every_key_of_a_handler_is_explained(self) -> None:
        root = parse(example(), [])
        assert isinstance(root, Table)
        _, listed = root.entries["handlers"]
        first = listed.items[0]  # type: ignore[union-attr]
        assert set(first.entries) == set(keys_of(HandlerEntry))  # type: ignore[union-attr]

    def test_every_default_in_it_is_the_default(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yaml"
        path.write_text(example())
        config = load(path, {})
        defaults = keys_of(Config)
        defaults["data.folder"] = tmp_path / "data"
        defaults["invites.allow"] = ("@*:example.org",)
        handlers = defaults.pop("handlers")
        assert [each.use for each in config.handlers] == [each.use for each in handlers]
        del defaults["homeserver.password"]
        for key, default in defaults.items():
            section, _, name = key.partition(".")
            if default is not MISSING:
                assert getattr(getattr(config, section), name) == default, key

    def test_a_comment_stands_above_every_key(self) -> None:
        before = ""
        for line in example().splitlines():
            bare = line.strip().removeprefix("- ").removeprefix("#")
            if re.match(r"[a-z_]+:", bare) and before != "data:" and line.strip() != "- use: log":
                assert before.startswith("# "), line
            before = line.strip()

    def test_what_it_shows_switched_on_is_understood(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yaml"
        path.write_text(active_and_shown(example()))
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        assert {each.path for each in caught.value.mistakes} == {
            "homeserver.access_token",  # password and access token exclude each other
            "livekit.url",  # and these are for the other value of livekit.auth
            "livekit.api_key",
            "livekit.api_secret",
        }


SECTIONS = st.sampled_from([each.name for each in fields(Config)] + ["hanlders"])
KEYS = st.sampled_from(sorted({key.rpartition(".")[2] for key in keys_of(Config)}))
VALUES = st.sampled_from(
    ["1", "5s", "[]", "{}", "'x'", "[a, 'b']", "true", "-3", "@a:b", "{use: x}"]
)
LINES = st.one_of(
    st.builds("{}:".format, SECTIONS),
    st.builds("  {}: {}".format, KEYS, VALUES),
    st.builds("{}: {}".format, SECTIONS, VALUES),
    st.text(max_size=20),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=12).map("\n".join))
def test_any_file_is_a_configuration_or_a_list_of_mistakes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes((ACCOUNT + text).encode("utf-8", "surrogatepass"))
    try:
        config = load(path, PASSWORD, kind_of)
    except ConfigError as error:
        lines = [each.line for each in error.mistakes]
    else:
        assert config.rtc.delay >= config.rtc.refresh + 3.0
        lines = [1]
    assert lines
    assert lines == sorted(lines)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_of_mistakes(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with pytest.raises(ConfigError):
            load(Path(file.name), {})
