"""The CNI specification's versions spoken here and what differs between them. Imports nothing."""

SUPPORTED = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
LATEST = SUPPORTED[-1]

# "cniVersion" missing or empty: libcni takes it for the version that had no such key yet.
WHEN_EMPTY = "0.1.0"

# Commands that a version does not know are refused below it (code 1), as skel does.
FIRST_VERSION = {"CHECK": "0.4.0", "STATUS": "1.1.0", "GC": "1.1.0"}

# 0.1.0 and 0.2.0 print one object per family, ip4 and ip6, with the routes inside.
ONE_OBJECT_PER_FAMILY = ("0.1.0", "0.2.0")
# 0.3.0 to 0.4.0 print a list of addresses, each with "version": "4" or "6"; 1.0.0 dropped that key.
ADDRESS_HAS_VERSION = ("0.3.0", "0.3.1", "0.4.0")


def knows(version: str, command: str) -> bool:
    """Say whether `command` exists in `version`, one of SUPPORTED."""
    first = FIRST_VERSION.get(command, SUPPORTED[0])
    return SUPPORTED.index(version) >= SUPPORTED.index(first)
