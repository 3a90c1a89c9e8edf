"""What the words of a CNI call may look like: names, levels, whole numbers, paths. Pure; imports nothing.

Each rule stands here once. The contracts attach it to their types (beside the JSON schema's pattern, which a test
holds against it), the generated validators call it, and the plugin applies it to the environment.
Regular expressions would do the same, but `re` costs the plugin 5 ms at each start.
Functions that take a value return it, in its final form, or raise ValueError saying what is allowed.
"""

_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME_CHARACTERS = _ALPHANUMERIC | frozenset("_.-")

NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$"
LOG_LEVELS = ("debug", "info", "warn", "error", "panic", "fatal")
LOG_LEVEL_PATTERN = "^(" + "|".join(["".join([f"[{c}{c.upper()}]" for c in level]) for level in LOG_LEVELS]) + ")?$"
WHOLE_NUMBER_MAX = 999999
WHOLE_NUMBER_PATTERN = "^[0-9]{1,6}$"
SOCKET_PATH_PATTERN = "^(/[!-~]{1,106})?$"


def name(text: str) -> str:
    """Check a container ID or network name (libcni pkg/utils: `^[a-zA-Z0-9][a-zA-Z0-9_.\\-]*$`)."""
    if not text or text[0] not in _ALPHANUMERIC or not _NAME_CHARACTERS.issuperset(text):
        raise ValueError("must start with a letter or digit and hold only letters, digits, '_', '.' and '-'")
    return text


def interface_name(text: str) -> str:
    """Check an interface name (libcni pkg/utils ValidateInterfaceName, Linux dev_valid_name)."""
    if not 1 <= len(text.encode("utf-8", "replace")) <= 15:
        raise ValueError("must be 1 to 15 bytes long")
    if text in (".", ".."):
        raise ValueError("must not be '.' or '..'")
    if "/" in text or ":" in text or any(c.isspace() for c in text):
        raise ValueError("must not hold '/', ':' or white space")
    return text


def log_level(text: str) -> str:
    """Check a log level, upper or lower case as upstream allows; empty means the default."""
    level = text.lower()
    if text and (level not in LOG_LEVELS or not text.isascii()):
        raise ValueError("must be one of " + ", ".join(LOG_LEVELS))
    return level


def whole_number(value: object) -> int:
    """Read 0 to 999999, as a number or as a string of digits (upstream documents strings, its code wants numbers)."""
    if isinstance(value, str):
        # int() would take blanks, signs, underscores and every script's digits.
        legal = 1 <= len(value) <= 6 and value.isascii() and value.isdigit()
    else:
        # JSON knows one kind of number, so 100.0 is whole; True is an int in Python only.
        legal = type(value) in (int, float) and 0 <= value <= WHOLE_NUMBER_MAX and value == int(value)  # type: ignore
    if not legal:
        raise ValueError(f"must be a whole number from 0 to {WHOLE_NUMBER_MAX}")
    return int(value)  # type: ignore[call-overload, no-any-return]


def seconds(value: object) -> int:
    """Read a whole number of seconds, at least 1."""
    number = whole_number(value)
    if not number:
        raise ValueError("must be at least 1 second")
    return number


def socket_path(text: str) -> str:
    """Check a unix socket's path: absolute, printable ASCII, 107 bytes (sun_path); empty means the default."""
    if text and (text[0] != "/" or not 2 <= len(text) <= 107 or any(not "!" <= c <= "~" for c in text)):
        raise ValueError("must be an absolute path of 2 to 107 printable ASCII characters without blanks")
    return text
