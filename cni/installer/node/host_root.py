"""A node's file system, which may be mounted elsewhere: at /host, say, in a container. Side effect: reads links."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MOST_LINKS = 40  # Linux' own limit


@dataclass(frozen=True)
class HostRoot:
    """A node's file system below the folder `path`.

    The node's own processes call a file by a *name*; this process reaches it by a *path*.
    """

    path: Path = Path("/")

    def resolve(self, name: str | Path) -> Path:
        """Return the path of what the node calls `name`, with links followed inside the root, as chroot would.

        OSError (ELOOP): there are more links than the kernel follows.
        """
        here = self.path
        for here in self.steps(name):  # noqa: B007  (the last one is the answer)
            pass
        return here

    def steps(self, name: str | Path) -> Iterator[Path]:
        """Yield each folder and link on the way to `name`, and at last what it leads to. OSError (ELOOP)."""
        here, left, links = self.path, _parts(Path(name)), 0
        while left:
            part = left.pop(0)
            if part == "..":
                here = here if here == self.path else here.parent
                continue
            here /= part
            yield here
            if here.is_symlink():
                links += 1
                if links > _MOST_LINKS:
                    # The path of a link that is not followed would lead out of the root.
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(name))
                target = here.readlink()
                here = self.path if target.is_absolute() else here.parent
                left = _parts(target) + left
        yield here

    def find(self, name: str | Path) -> Path | None:
        """Return the path of what the node calls `name`; None where nothing is there, or links lead in a circle."""
        path = self._end_of(name)
        return path if path and path.exists() else None

    @property
    def is_partial(self) -> bool:
        """Whether only some of the node's folders are mounted below the root, as in a container of the DaemonSet."""
        return self.path != Path("/") and not self.path.is_mount()

    def dead_end(self, name: str | Path) -> str:
        """Say where the links in `name` lead if nothing is there; "" where something is, or where there is no link."""
        path = self._end_of(name)
        if path is None:
            return "leads in a circle of symbolic links"
        target = self.name_of(path)
        if path.exists() or target == str(Path("/", name)):
            return ""
        fault = f"is not mounted below {self.path}: mount it" if self.is_partial else "does not exist"
        return f"leads to {target}, which {fault}"

    def is_unmounted(self, name: str | Path) -> bool:
        """Tell whether the links in `name` lead to what this container has not mounted, and the node may have."""
        return self.is_partial and self._end_of(name) is not None and bool(self.dead_end(name))

    def _end_of(self, name: str | Path) -> Path | None:
        try:
            return self.resolve(name)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            return None

    def follow(self, path: Path) -> Path:
        """Return what a path below the root leads to on the node."""
        return self.resolve(path.relative_to(self.path) if path.is_relative_to(self.path) else path)

    def name_of(self, path: Path) -> str:
        """Return what the node's own processes call a path."""
        return str(Path("/", path.relative_to(self.path))) if path.is_relative_to(self.path) else str(path)


def _parts(path: Path) -> list[str]:
    return [part for part in path.parts if part.strip("/")]
