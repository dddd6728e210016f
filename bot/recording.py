"""Recordings as files: to keep, to hand on, to replay. Lines of JSON in one zstd frame.

The lines are those of `bot.whiteboard.lines`. Files are written and read as a stream: neither
takes more memory than its largest entry. What a stranger's file can ask for is bounded.

    with recording.read(path) as found:
        for entry in found.entries:
            ...
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Self, cast

from zstandard import FLUSH_FRAME, ZstdCompressor, ZstdDecompressor, ZstdError

from bot.errors import InvalidRecording, UsageError
from bot.whiteboard.entry import Entry
from bot.whiteboard.lines import (
    MAX_LINE,
    Header,
    Trailer,
    entry_line,
    header_line,
    read_header,
    read_line,
    trailer_line,
)

__all__ = ["Header", "Recording", "Writer", "read", "write"]

MAX_BYTES = 64 * 2**30
"""Bytes of all lines of a file."""
MAX_RATIO = 1000
"""Times its size that a file may unpack to, beyond `ALWAYS`; those of boards are below 50."""
ALWAYS = 64 * 2**20
"""Bytes that a file may unpack to however small it is."""
MAX_WINDOW = 8 * 2**20
"""Bytes that unpacking may look back."""

_LEVEL = 9
_BUFFER = 2**18
_NOT_OURS = "Only what “boardkeeper recording export” has written can be read"
_AGAIN = "Copy the file once more, or export it again"


def _limit(size: int) -> int:
    """Return to how many bytes a file of this size may unpack."""
    return min(MAX_BYTES, ALWAYS + MAX_RATIO * size)


# -- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recording:
    """A file that is being read.

    Attributes:
        header: what it is of.
        entries: in their order, numbered from 1, of board 0. Only when all were taken is it certain
            that the file is whole; they raise InvalidRecording where it is not.
        size: bytes of the file.
        file: what is read; how far it has got says how much is done.
    """

    header: Header
    entries: Iterator[Entry]
    size: int
    file: IO[bytes]


@contextmanager
def read(path: Path) -> Iterator[Recording]:
    """Read a recording.

    Raises:
        UsageError: the file cannot be read.
        InvalidRecording: it is none, or exceeds a bound; also while its entries are taken.
    """
    try:
        # What is no file (a pipe, a terminal) could let us wait for ever.
        file = open(path, "rb", opener=_at_once)  # noqa: SIM115 - Path.open has no opener
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} cannot be read: it is not a file.")
        lines = _Lines(path, file, status.st_size)
        yield Recording(lines.header(), lines.entries(), status.st_size, file)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class _CutOff(InvalidRecording):
    """Raised when the end is missing."""


class _Lines:
    """The lines of a file, one after the other."""

    def __init__(self, path: Path, file: IO[bytes], size: int) -> None:
        unpacked = ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(
            file, read_size=_BUFFER, read_across_frames=True
        )
        self._path = path
        self._lines = BufferedReader(cast("RawIOBase", unpacked), _BUFFER)
        self._number = 0
        self._left = _limit(size)
        self._sum = sha256()

    def header(self) -> Header:
        """Read the first line."""
        try:
            line = self._next()
            header = read_header(line)
        except InvalidRecording as error:
            raise self._wrong(error) from error
        self._sum.update(line)
        return header

    def entries(self) -> Iterator[Entry]:
        """Read all others."""
        try:
            while isinstance(found := read_line(line := self._next(), self._number - 1), Entry):
                yield found
                self._sum.update(line)
            self._end(found)
        except InvalidRecording as error:
            raise self._wrong(error) from error

    def _next(self) -> bytes:
        self._number += 1
        line = self._read(min(MAX_LINE, self._left) + 1)
        self._left -= len(line)
        if self._left < 0:
            raise InvalidRecording(f"it unpacks to more than {MAX_RATIO} times its size")
        if len(line) > MAX_LINE:
            raise InvalidRecording(f"it is longer than {MAX_LINE} bytes")
        if not line.endswith(b"\n"):
            raise _CutOff("the file ends here, before its last line: it was cut off")
        return line

    def _read(self, most: int) -> bytes:
        try:
            return self._lines.readline(most)
        except ZstdError:
            raise InvalidRecording("it cannot be unpacked, or is not compressed by zstd") from None
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {error.strerror}.") from error

    def _end(self, trailer: Trailer) -> None:
        if trailer != Trailer(self._number - 2, self._sum.hexdigest()):
            raise InvalidRecording("the lines before are not those that were written")
        if self._read(1):
            raise InvalidRecording("the file goes on after its last line")

    def _wrong(self, error: InvalidRecording) -> InvalidRecording:
        ours = self._number > 1 or isinstance(error, _CutOff)
        advice = _AGAIN if ours else _NOT_OURS
        return InvalidRecording(f"{self._path}, line {self._number}: {error}. {advice}.")


# -- writing -------------------------------------------------------------------------------------


def write(
    path: Path, header: Header, entries: Iterable[Entry], *, overwrite: bool = False
) -> Writer:
    """Write a recording; arguments and errors as of `Writer`, which says how it went."""
    with Writer(path, header, overwrite=overwrite) as writer:
        for entry in entries:
            writer.add(entry)
    return writer


class Writer:
    """Writes a recording. Use as `with`: the file is there when that ends well, else it never was.

    Args:
        path: the file; readable for its owner alone, as the archive is.
        header: what is recorded.
        overwrite: whether a file that is there may be replaced; it is when the new one is whole.

    Attributes:
        entries: how many were written.
        size: bytes of the file, when it is whole.

    Raises:
        UsageError: it is there already, or cannot be written.
        InvalidRecording: an entry or the whole exceeds what can be read again.
    """

    def __init__(self, path: Path, header: Header, *, overwrite: bool = False) -> None:
        self.entries = 0
        self.size = 0
        self._path = path
        self._header = header
        self._overwrite = overwrite
        self._sum = sha256()
        self._bytes = 0

    def __enter__(self) -> Self:
        first = header_line(self._header)
        self._refuse_to_replace()
        with self._explained():
            descriptor, name = tempfile.mkstemp(
                dir=self._path.parent, prefix=f"{self._path.name}.", suffix=".part"
            )
        self._part = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._packed = ZstdCompressor(level=_LEVEL).stream_writer(self._file, closefd=False)
        try:
            self._put(first)
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._drop()

    def add(self, entry: Entry) -> None:
        """Write an entry; it gets the next number, whatever its own is."""
        try:
            line = entry_line(entry, self.entries + 1)
        except InvalidRecording as error:
            why = f"{self._path} cannot be written: of entry {self.entries + 1}, {error}."
            raise InvalidRecording(why) from None
        self._put(line)
        self.entries += 1

    def _put(self, line: bytes) -> None:
        self._sum.update(line)
        self._bytes += len(line)
        with self._explained():
            self._packed.write(line)

    def _finish(self) -> None:
        self._put(trailer_line(Trailer(self.entries, self._sum.hexdigest())))
        with self._explained():
            self._packed.flush(FLUSH_FRAME)
            self._file.flush()
            os.fsync(self._file.fileno())
            self.size = self._file.tell()
            if self._bytes > _limit(self.size):
                raise InvalidRecording(f"{self._path}: this is more than a recording can hold.")
            self._refuse_to_replace()
            self._part.replace(self._path)

    def _refuse_to_replace(self) -> None:
        if not self._overwrite and self._path.exists():
            raise UsageError(
                f"{self._path} is there already: name another file, or say --overwrite."
            )

    def _drop(self) -> None:
        with suppress(OSError):  # a full disk again: what could not be written need not be
            self._file.close()
        with suppress(FileNotFoundError):  # it has become the file
            self._part.unlink()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(f"{self._path} cannot be written: {error.strerror}.") from error
