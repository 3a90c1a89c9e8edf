"""The plugin's `encodings`: UTF-8 and nothing else.

The interpreter cannot start without a module of this name, which tells it the codec of file names and of the standard
streams. The standard library's `encodings` reads two more files and 300 aliases for that, and needs `codecs`, which
creates a dozen classes. What C converts by itself (`str.encode` to ASCII, Latin-1, UTF-16, UTF-32) does not need this
module. Any other codec is a LookupError.

This module is also the first of ours that runs, before the interpreter opens the standard streams. For these the
interpreter takes two names from the module `io`, which has them from C's `_io`. So `_io` is put in the place of `io`,
and neither `io` nor `abc` creates its classes. docs/design/image.md lists what else saves time.
"""

import _codecs
import _io
import sys

sys.modules["io"] = _io


class IncrementalEncoder:
    """Encodes what is written to a standard stream. UTF-8 has no state between one piece of text and the next."""

    def __init__(self, errors: str = "strict") -> None:
        self._errors = errors

    def encode(self, text: str, final: bool = False) -> bytes:
        """Encode the next piece."""
        return _codecs.utf_8_encode(text, self._errors)[0]

    def reset(self) -> None:
        """Forget everything that came before."""

    def setstate(self, state: object) -> None:
        """Continue from a state that a stream has kept."""


class IncrementalDecoder:
    """Decodes what is read from a standard stream."""

    def __init__(self, errors: str = "strict") -> None:
        self._errors = errors
        self._rest = b""  # bytes of a character that is not complete yet

    def decode(self, data: bytes, final: bool = False) -> str:
        """Decode the next piece."""
        data = self._rest + data
        text, used = _codecs.utf_8_decode(data, self._errors, final)
        self._rest = data[used:]
        return text

    def reset(self) -> None:
        """Forget everything that came before."""
        self._rest = b""

    def getstate(self) -> tuple[bytes, int]:
        """Return the state that a stream must keep to come back to this point."""
        return self._rest, 0

    def setstate(self, state: tuple[bytes, int]) -> None:
        """Continue from a state that a stream has kept."""
        self._rest = state[0]


class CodecInfo(tuple):  # type: ignore[type-arg]
    """A codec in the form that C expects, without readers and writers of streams; replaces `codecs.CodecInfo`."""

    name = "utf-8"
    incrementalencoder = IncrementalEncoder
    incrementaldecoder = IncrementalDecoder


_UTF_8 = CodecInfo((_codecs.utf_8_encode, _codecs.utf_8_decode, None, None))


def find(name: str) -> CodecInfo | None:
    """Return the codec of that name, which the interpreter passes in lower case."""
    return _UTF_8 if name in ("utf-8", "utf_8", "utf8") else None


_codecs.register(find)  # type: ignore[arg-type]
