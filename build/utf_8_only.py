"""The plugin's `encodings`: UTF-8 and nothing else.

The interpreter cannot start without a package of this name: it asks it for the codec of file names and of the standard
streams. The standard library's reads two more files and 300 aliases for that: 7 % more instructions for an ADD. Codecs
that C has built in (ASCII, Latin-1, UTF-16, UTF-32) do not pass here; any other one is a LookupError.
"""

import codecs


class IncrementalEncoder(codecs.IncrementalEncoder):
    """For what is written to a standard stream."""

    def encode(self, text: str, final: bool = False) -> bytes:
        """Encode the next piece."""
        return codecs.utf_8_encode(text, self.errors)[0]


class IncrementalDecoder(codecs.BufferedIncrementalDecoder):
    """For what is read from a standard stream."""

    _buffer_decode = codecs.utf_8_decode  # type: ignore[assignment]  # a C function: it gets no `self`


_UTF_8 = codecs.CodecInfo(
    codecs.utf_8_encode,
    codecs.utf_8_decode,
    incrementalencoder=IncrementalEncoder,
    incrementaldecoder=IncrementalDecoder,
    name="utf-8",
)


def find(name: str) -> codecs.CodecInfo | None:
    """Return the codec; the interpreter gives the name in lower case."""
    return _UTF_8 if name in ("utf-8", "utf_8", "utf8") else None


codecs.register(find)
