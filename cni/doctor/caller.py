"""What this program was called with: an environment, and the language in it. Side effect: reads os.environ.

The launcher (build/launcher.c) adds variables, and disguises those that could change what the program does.
"""

import os

from cni.doctor import languages
from cni.installer.bundle import own

_ADDED = (b"_PYI_", b"OPENSSL_CONF")  # what the launcher and PyInstaller's bootloader set
_LEAD_BYTE = b"\xc0"  # the least first byte of a character of UTF-8 that has more than one
_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is not empty holds


def environment() -> dict[str, str]:
    """Return the environment that this program was called with."""
    if own.tree() is None:
        return dict(os.environ)
    kept = {name: value for name, value in os.environb.items() if not name.startswith(_ADDED)}
    return {os.fsdecode(_undisguised(name)): os.fsdecode(value) for name, value in kept.items()}


def language() -> languages.Language:
    """Return the language of the caller's messages."""
    callers = environment()
    return languages.of_locale(next((callers[name] for name in _LOCALE if callers.get(name)), ""))


def _undisguised(name: bytes) -> bytes:
    """Undo what `disguise` in build/launcher.c does: a first byte of UTF-8 that no other byte of it follows."""
    is_disguised = name[:1] >= _LEAD_BYTE and b"" < name[1:2] < b"\x80"
    return bytes([name[0] & 0x7F]) + name[1:] if is_disguised else name
