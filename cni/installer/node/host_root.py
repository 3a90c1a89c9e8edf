"""A node's file system, which may be mounted elsewhere: at /host, say, in a container. Side effect: reads links."""

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
        """Return the path of what the node calls `name`, with links followed inside the root, as chroot would."""
        here, left, links = self.path, _parts(Path(name)), 0
        while left:
            part = left.pop(0)
            if part == "..":
                here = here if here == self.path else here.parent
                continue
            here /= part
            if here.is_symlink() and links < _MOST_LINKS:
                links += 1
                target = here.readlink()
                here = self.path if target.is_absolute() else here.parent
                left = _parts(target) + left
        return here

    def follow(self, path: Path) -> Path:
        """Return what a path below the root leads to on the node."""
        return self.resolve(path.relative_to(self.path) if path.is_relative_to(self.path) else path)

    def name_of(self, path: Path) -> str:
        """Return what the node's own processes call a path."""
        return f"/{path.relative_to(self.path)}" if path.is_relative_to(self.path) else str(path)


def _parts(path: Path) -> list[str]:
    return [part for part in path.parts if part != "/"]
