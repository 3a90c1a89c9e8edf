"""The plugin's `encodings`: UTF-8 and nothing else.

The interpreter cannot start without a module of this name: it asks it for the codec of file names and of the standard
streams. The standard library's is a package that reads two more files and 300 aliases for that, and needs the module
`codecs`, which makes a dozen classes. What C converts by itself (`str.encode` to ASCII, Latin-1, UTF-16, UTF-32) does
not pass here; any other codec is a LookupError.

It is also the first that runs of ours, before the interpreter opens the standard streams. For these it takes two names
from the module `io`, which has them from C's `_io`. So that one stands in for it, and `io` need not make its classes,
nor `abc` its own. What both save: cni/README.md.
"""

import _codecs
import _io
import sys

sys.modules["io"] = _io


class IncrementalEncoder:
    """For what is written to a standard stream. UTF-8 keeps nothing from one piece to the next."""

    def __init__(self, errors: str = "strict") -> None:
        self._errors = errors

    def encode(self, text: str, final: bool = False) -> bytes:
        """Encode the next piece."""
        return _codecs.utf_8_encode(text, self._errors)[0]

    def reset(self) -> None:
        """Begin anew."""

    def setstate(self, state: object) -> None:
        """Go on from what a stream kept."""


class IncrementalDecoder:
    """For what is read from a standard stream."""

    def __init__(self, errors: str = "strict") -> None:
        self._errors = errors
        self._rest = b""  # of a character that is not whole yet

    def decode(self, data: bytes, final: bool = False) -> str:
        """Decode the next piece."""
        data = self._rest + data
        text, used = _codecs.utf_8_decode(data, self._errors, final)
        self._rest = data[used:]
        return text

    def reset(self) -> None:
        """Begin anew."""
        self._rest = b""

    def getstate(self) -> tuple[bytes, int]:
        """Return what a stream must keep to come back here."""
        return self._rest, 0

    def setstate(self, state: tuple[bytes, int]) -> None:
        """Go on from what a stream kept."""
        self._rest = state[0]


class CodecInfo(tuple):  # type: ignore[type-arg]
    """A codec as C wants it, `codecs.CodecInfo` elsewhere: encoder, decoder, no readers and writers of streams."""

    name = "utf-8"
    incrementalencoder = IncrementalEncoder
    incrementaldecoder = IncrementalDecoder


_UTF_8 = CodecInfo((_codecs.utf_8_encode, _codecs.utf_8_decode, None, None))


def find(name: str) -> CodecInfo | None:
    """Return the codec; the interpreter gives the name in lower case."""
    return _UTF_8 if name in ("utf-8", "utf_8", "utf8") else None


_codecs.register(find)  # type: ignore[arg-type]
