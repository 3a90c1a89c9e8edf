"""The check of how the plugin starts on this node: from its image, or why it does not. Pure.

The reasons are the launcher's (build/launcher.c, build/image.c), and those of the mark that install leaves beside a
bundle (installer/bundle/trial.py).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cni.contracts.facts import Start
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader, NotKnown

_WITH = "from its image"
_WITHOUT = "without its image: "
_CHOSEN = {  # what is as it should be
    "there is none for this architecture": "amd64 alone has one",
    "this release has none": "it was built where no image can be made",
    "it was asked for with --no-image": "`spiderpool-ipam install --image` goes back to it",
}
# How the mark begins where the two ways have differed, and where that could not be found out.
_TRIED, _UNTRIED = "on this node, an ADD from it ", "it could not be tried: "
_TRY = command("spiderpool-ipam install --no-image && spiderpool-ipam install --image")
_LOOK = command("uname -r; ulimit -s; ulimit -v")
_LOOK_AT_FILE = command("uname -r; ulimit -s; ulimit -v; findmnt -O noexec; ausearch -m avc -ts recent")


class Reason(NamedTuple):
    """Why the plugin does not start from its image."""

    meaning: str
    mend: Mend | None = None
    cause: str = ""


_DAMAGED = Reason("the release is damaged", command("spiderpool-ipam install"), "node-bundle")
_NOT_SETTLED = Reason("an installation that did not finish has left it so", _TRY)
_KERNEL = Reason("this kernel is not as others are; nothing is wrong with the plugin")
REASONS: Mapping[str, Reason] = {
    "it is not there": _DAMAGED,
    "it is no file": _DAMAGED,
    "it is cut off": _DAMAGED,
    "it is cut off, or longer than it was": _DAMAGED,
    "its header is damaged": _DAMAGED,
    "it belongs to another release": _DAMAGED,
    "it was set aside": _NOT_SETTLED,
    "it cannot be opened": Reason(
        "who calls has no right to read it, or too low a limit of open files", command("id; ulimit -n")
    ),
    "its memory cannot be mapped here": Reason(
        "the kernel is older than 4.17, or the stack or the address space of who calls has an unusual limit, or the"
        " folder of plugins is mounted noexec, or a security module such as SELinux refuses it",
        _LOOK_AT_FILE,
    ),
    "there is no memory for it": Reason("the address space of who calls has a low limit", _LOOK),
    "the environment is too large for it": Reason(
        "that of doctor's caller; a runtime's is smaller as a rule", command("env -i spiderpool-ipam doctor")
    ),
    "the kernel gives no random bytes": _KERNEL,
    "the pages are of another size": _KERNEL,
    "the thread's base cannot be set": _KERNEL,
}


def _find_start(facts: FactReader) -> Iterator[Finding]:
    start: Start = facts.value("node.start")
    if start["how"] == _WITH:
        return
    if not start["how"].startswith(_WITHOUT):
        raise NotKnown(f"{start['path']}: {start['how']}")
    why = start["how"].removeprefix(_WITHOUT)
    if why in _CHOSEN:
        yield Finding(start["path"], f"it starts {start['how']}; {_CHOSEN[why]}", severity="information")
    elif why.startswith(_TRIED):
        yield Finding(start["path"], f"install has set its image aside: {why}", _TRY)
    elif why.startswith(_UNTRIED):
        yield Finding(start["path"], f"install has set its image aside: {why}", command("spiderpool-ipam install"))
    else:
        reason = REASONS.get(why, Reason("no release before this one has said so"))
        yield Finding(start["path"], f"it starts {start['how']}; {reason.meaning}", reason.mend, cause=reason.cause)


CHECKS = (
    Check(
        id="node-image",
        part="node",
        severity="warning",
        looks_at="whether the plugin starts from its image here, by what its launcher says",
        why="Without its image the plugin does the same, and each call takes two to three times as long.",
        to_do=(
            "That depends on the reason. If the image is damaged, install the release again. If install has set it"
            " aside, because an ADD from it went wrong on this node, have it tried again after a change of the kernel"
            " or of what confines programs: `spiderpool-ipam install --no-image`, then `install --image`. If its memory"
            " cannot be mapped, look at the kernel, which has to be 4.17 or newer, at the limits of the runtime's"
            " service (LimitSTACK, LimitAS), at the mount of the folder of plugins, which must not be noexec, and at"
            " what SELinux or another security module has refused. On arm64 there is no image, and nothing to do."
        ),
        needs=("node.start",),
        find=_find_start,
    ),
)
