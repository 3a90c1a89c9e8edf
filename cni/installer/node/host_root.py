"""The node's file system where it is mounted elsewhere: /host, say, in a container. Side effect: reads links."""

from pathlib import Path

_MOST_LINKS = 40  # Linux' own limit


def below(root: Path, path: str | Path) -> Path:
    """Return where a path of the node is to be found, its links followed inside `root`, as chroot would."""
    here, left, links = root, [part for part in Path(path).parts if part != "/"], 0
    while left:
        part = left.pop(0)
        if part == "..":
            here = here if here == root else here.parent
            continue
        here /= part
        if here.is_symlink() and links < _MOST_LINKS:
            links += 1
            target = here.readlink()
            here = root if target.is_absolute() else here.parent
            left = [part for part in target.parts if part != "/"] + left
    return here


def on_node(root: Path, path: Path) -> str:
    """Return a path below `root` as the node's own processes call it."""
    return f"/{path.relative_to(root)}" if path.is_relative_to(root) else str(path)


def follow(root: Path, path: Path) -> Path:
    """Return what a path below `root` leads to on the node."""
    return below(root, on_node(root, path))
