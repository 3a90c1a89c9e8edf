"""Run a command that may run programs for arm64, on a machine of another architecture. Usage: emulation.py COMMAND…

The kernel gives such programs to qemu's user emulation once that is registered with binfmt_misc, as Debian's package
qemu-user-static does where systemd runs. Where it is not registered, this script registers it for the command alone:
from Linux 6.7 on, each user namespace can have a binfmt_misc of its own. So nothing of the machine changes. In that
namespace, all users and groups are who they are outside. When this process is killed, the command's are, too.
"""

import ctypes
import os
import platform
import sys
from pathlib import Path

BINFMT = Path("/proc/sys/fs/binfmt_misc")
REGISTRATION = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
CLONE_NEWUSER = 0x10000000
# Not all numbers: runc takes a namespace that has all of them for the machine's own, and does what only that one may.
EVERYBODY = "0 0 65536"
# The namespace of processes has to belong to the user namespace, or no /proc could be mounted in it.
IN_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
REGISTERING = "--register"  # as the first argument, once this script runs in the namespaces


def enter_user_namespace() -> None:
    """Move this process to a user namespace of its own."""
    library, process = ctypes.CDLL(None, use_errno=True), os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # it stays outside, where it has the right to say who is who inside
        os.read(reader, 1)
        try:
            for kind in ("uid", "gid"):
                Path(f"/proc/{process}/{kind}_map").write_text(EVERYBODY)
        except OSError:
            os._exit(1)
        os._exit(0)
    if library.unshare(CLONE_NEWUSER):
        sys.exit(f"no user namespace can be made: {os.strerror(ctypes.get_errno())}")
    os.write(writer, b".")
    if os.waitpid(child, 0)[1]:
        sys.exit("programs for arm64 cannot be run here: only root may say who is who in a user namespace")


def register() -> None:
    """Register the emulator in this user namespace."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(b"binfmt_misc", os.fsencode(BINFMT), b"binfmt_misc", 0, None):
        sys.exit(
            "programs for arm64 cannot be run here: qemu-aarch64 is not registered with binfmt_misc, and Linux"
            f" {platform.release()} has no binfmt_misc for a user namespace ({os.strerror(ctypes.get_errno())}):"
            " install qemu-user-static where systemd runs, or use Linux 6.7 or newer"
        )
    (BINFMT / "register").write_bytes(REGISTRATION.read_bytes())


def main(command: list[str]) -> None:
    """Replace this process by the command."""
    if command[:1] == [REGISTERING]:
        register()
        del command[0]
    elif platform.machine() != "aarch64" and not (BINFMT / "qemu-aarch64").exists():
        if not REGISTRATION.exists():
            sys.exit("programs for arm64 cannot be run here: apt-get install qemu-user-static")
        enter_user_namespace()
        command = [*IN_NAMESPACES, sys.executable, __file__, REGISTERING, *command]
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
