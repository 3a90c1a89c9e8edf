"""The bundle in the node's folder of plugins. Side effects: files below that folder, and running the plugin.

    <bin>/spiderpool -> .spiderpool/current/spiderpool
    <bin>/.spiderpool/current -> <version>-<hash8>
    <bin>/.spiderpool/<version>-<hash8>/        the bundle; the one before stays, a process may still start from it
    <bin>/.spiderpool/<version>-<hash8>.no-image  why that bundle starts without its image (trial.py)
    <bin>/.spiderpool/foreign                   the plugin of others that <bin>/spiderpool was before

All links are relative, because the folder may be mounted elsewhere. Each step is a rename, so that a runtime finds the
old plugin or the new one at every moment, and the next run completes one that was killed. What the files are to hold is
what the release's own SHA256SUMS says (sums.py).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cni.installer.bundle import launchers, links, sums, trial
from cni.installer.bundle import tree as trees
from cni.installer.bundle.self_test import ask
from cni.installer.bundle.sums import Stop, StoppedError, SumsError, never
from cni.installer.conflict import Reason
from cni.installer.errors import InstallerError
from cni.installer.node.atomic_file import sync_folder
from cni.installer.node.host_root import HostRoot
from cni.installer.node.os_errors import one_line

HOME = ".spiderpool"
CURRENT = "current"
FOREIGN = "foreign"
PLUGIN = launchers.PLUGIN
_LINK = f"{HOME}/{CURRENT}/{PLUGIN}"
_COLD_START = 30.0  # seconds for a run of a bundle that is not in force yet, from a slow disk
_START = 5.0  # seconds for a run of one that is in use
_NOT_OURS = "is missing or another program: run install, then keep watch running"
_AGAIN = "install the release again, from its tarball, unpacked into an empty folder, or from its image"


class BundleError(InstallerError):
    """Why the bundle cannot be installed, or not be used."""


class Installed(NamedTuple):
    """The result of installing a bundle."""

    name: str  # <version>-<hash8>
    changed: bool
    kept_foreign: bool  # another plugin had the name, and is kept for uninstall


def require_whole(tree: Path) -> dict[str, str]:
    """Return the SHA-256 of a release's files by name. BundleError: they are not what its SHA256SUMS says. OSError."""
    try:
        return sums.check(tree, never)
    except SumsError as error:
        raise BundleError(f"{tree} is damaged: {error}: {_AGAIN}") from None


def install(tree: Path, bin_folder: Path, version: str, *, image: bool = True) -> Installed:
    """Copy a bundle into the folder of plugins and switch to it. BundleError, OSError: what was there stays."""
    home = bin_folder / HOME
    name = name_of(tree, version, require_whole(tree))
    if tree.resolve().parent == home.resolve() and tree.resolve().name != name:
        raise BundleError(f"{tree} is damaged: its files are not those that were installed: {_AGAIN}")
    if flaw := links.obstacle(bin_folder / PLUGIN, bin_folder / HOME):
        raise BundleError(f"{bin_folder / PLUGIN} {flaw}")
    if not (home / name).exists():
        trees.require_space(tree, bin_folder)
    home.mkdir(exist_ok=True)
    trees.open_to_all(home)
    trees.install_tree(tree, home / name)
    require_whole(home / name)
    before = _name_in_force(bin_folder)
    trial.settle(home / name, wanted=image, is_in_force=before == name)  # before it has to answer: see there
    if answer := ask(home / name / PLUGIN, _START if before == name else _COLD_START, never):
        raise BundleError(f"{home / name} does not answer VERSION on this node, nothing was switched: {answer}")
    was_ours = _is_ours(bin_folder)
    flipped = links.flip(home / CURRENT, name)
    kept_foreign = _take_name(bin_folder)
    if flaw := answers(bin_folder):
        links.flip(home / CURRENT, before or name)
        if kept_foreign:
            _give_back(bin_folder)
        raise BundleError(f"{bin_folder / PLUGIN} {flaw}")
    if flipped:  # otherwise the version before this one is still the one to go back to
        trees.remove_folders(home, {name, before or name})
    return Installed(name, flipped or not was_ours, kept_foreign)


def is_there(bin_folder: Path) -> bool:
    """Tell whether a bundle, or what is left of one, is in the folder of plugins."""
    return (bin_folder / HOME).is_dir()


def current_bundle(bin_folder: Path) -> str | None:
    """Return the name of the bundle in force: None unless <bin>/spiderpool leads to it."""
    return _name_in_force(bin_folder) if _is_ours(bin_folder) and (bin_folder / PLUGIN).exists() else None


def bundles(bin_folder: Path) -> list[str]:
    """Return the names of the bundles that are there."""
    home = bin_folder / HOME
    folders = [path for path in home.iterdir() if path.is_dir() and not path.is_symlink()] if home.is_dir() else []
    return sorted(path.name for path in folders if not path.name.startswith("."))


def fault(bin_folder: Path) -> str:
    """Return what is wrong with <bin>/spiderpool and the bundle in force, on one line; "" for nothing."""
    return verify(bin_folder) or answers(bin_folder)


def verify(bin_folder: Path, stop: Stop = never) -> str:
    """Compare all files of the bundle in force with its SHA256SUMS; return the fault on one line, "" for nothing.

    This reads 40 MB. `stop` is asked before each MiB: once it returns True, this ends and has found nothing.
    """
    name = current_bundle(bin_folder)
    if name is None:
        return _NOT_OURS
    if flaw := links.obstacle(bin_folder / PLUGIN, bin_folder / HOME):
        return flaw
    folder = bin_folder / HOME / name
    try:
        hashes = sums.check(folder, stop)
        # The name tells what SHA256SUMS itself held, and which files were executable.
        is_named_so = name.endswith(f"-{trees.digest(folder, hashes)[:8]}")
    except StoppedError:
        return ""
    except (InstallerError, OSError) as error:
        return f"is damaged: {one_line(error) if isinstance(error, OSError) else error}: {_AGAIN}"
    return "" if is_named_so else f"is damaged: its files are not those that were installed: {_AGAIN}"


def answers(bin_folder: Path, stop: Stop = never) -> str:
    """Run <bin>/spiderpool as runtimes do; return on one line what is wrong with its answer to VERSION, "" for nothing.

    It is killed after 5 s, or once `stop` returns True, which is no fault. Only our link is followed, and it is
    relative: so the right program is run where the node's root is another folder, too.
    """
    if current_bundle(bin_folder) is None:
        return _NOT_OURS
    answer = ask(bin_folder / PLUGIN, _START, stop)
    return f"does not answer VERSION: {answer}" if answer else ""


def start(bin_folder: Path) -> str:
    """Say how the plugin starts: "from its image", or why it does not. OSError."""
    name = current_bundle(bin_folder)
    return trial.start(bin_folder / HOME / name) if name else _NOT_OURS


def drift(bin_folder: Path) -> Reason | None:
    """Return what somebody else has done to <bin>/spiderpool or its bundle, if anybody has. OSError.

    The launchers are compared with SHA256SUMS; of all other files it is seen that they are there, and not empty.
    The agent's container copies its own plugin over ours at each start (its chart's postStart: mv, cp, rm).
    """
    name = _name_in_force(bin_folder)
    if name is None or launchers.missing(bin_folder / HOME / name):
        return "removed"
    if launchers.wrong(bin_folder / HOME / name):
        return "overwritten"
    if _is_ours(bin_folder):
        return None
    return "replaced" if os.path.lexists(bin_folder / PLUGIN) else "removed"


def is_being_replaced(bin_folder: Path) -> bool:
    """Tell whether the agent's container has moved <bin>/spiderpool away, and is about to copy its own plugin there.

    A link that is put there before the copy begins would have the copy written over the bundle's launcher.
    """
    plugin = bin_folder / PLUGIN
    return not os.path.lexists(plugin) and os.path.lexists(plugin.with_name(f"{PLUGIN}.old"))


def reconcile(bin_folder: Path, tree: Path | None = None, version: str = "", *, image: bool = True) -> None:
    """Mend what `drift` has found, and see that the plugin answers. A bundle that is damaged is installed again.

    BundleError, OSError: it cannot be mended; see `reinstall`.
    """
    bundle = bin_folder / HOME / (_name_in_force(bin_folder) or CURRENT)
    if flaw := launchers.missing(bundle) or launchers.mend(bundle):
        reinstall(bin_folder, f"is damaged: {flaw}: {_AGAIN}", tree, version, image=image)
        return
    _take_name(bin_folder)
    if flaw := answers(bin_folder):
        reinstall(bin_folder, flaw, tree, version, image=image)


def reinstall(bin_folder: Path, flaw: str, tree: Path | None, version: str, *, image: bool = True) -> None:
    """Install a bundle that has this flaw again. BundleError: `tree` is damaged itself, or is None. OSError."""
    if tree is None:
        raise BundleError(f"{bin_folder / PLUGIN} {flaw}")
    install(tree, bin_folder, version, image=image)


def successor(bin_folder: Path, root: HostRoot) -> Path | None:
    """Return the other plugin that has our name once ours is gone; None where the name then leads nowhere. OSError."""
    after = bin_folder / (f"{HOME}/{FOREIGN}" if _is_free(bin_folder) else PLUGIN)
    # A link that is kept leads on from where it was, and to what the node's own processes find there.
    found = root.find(Path(root.name_of(bin_folder), after.readlink())) if after.is_symlink() else after
    return found if found and found.is_file() and os.access(found, os.X_OK) else None


def uninstall(bin_folder: Path) -> list[str]:
    """Remove the bundle, and have <bin>/spiderpool be what it was before; say what was done. OSError."""
    plugin = bin_folder / PLUGIN
    done = []
    if _give_back(bin_folder):
        done.append(f"{PLUGIN} is what it was before")
    elif _is_ours(bin_folder):
        plugin.unlink()
        done.append(f"{PLUGIN} is removed")
    elif os.path.lexists(plugin):
        done.append(f"{PLUGIN} is left: it is no longer ours")
    sync_folder(bin_folder)
    return done + trees.remove(bin_folder / HOME, first=CURRENT)


def name_of(tree: Path, version: str, hashes: Mapping[str, str] | None = None) -> str:
    """Return the name of a bundle's folder: <version>-<hash8>; `hashes` are the SHA-256 that are known. OSError."""
    return f"{version}-{trees.digest(tree, hashes)[:8]}"


def _name_in_force(bin_folder: Path) -> str | None:
    """Return the name of the folder that `current` leads to, None where that is none of ours."""
    current = bin_folder / HOME / CURRENT
    name = str(current.readlink()) if current.is_symlink() else "/"
    folder = current.with_name(name) if "/" not in name else current
    return name if folder.is_dir() and not folder.is_symlink() else None


def _take_name(bin_folder: Path) -> bool:
    return links.take_name(bin_folder / PLUGIN, _LINK, bin_folder / HOME / FOREIGN)


def _is_ours(bin_folder: Path) -> bool:
    return links.leads_to(bin_folder / PLUGIN, _LINK)


def _is_free(bin_folder: Path) -> bool:
    """Tell whether another plugin that was kept may have the name back."""
    return _is_ours(bin_folder) or not os.path.lexists(bin_folder / PLUGIN)


def _give_back(bin_folder: Path) -> bool:
    """Let the plugin that was kept have its name again; tell whether there was one, and the name was free."""
    return _is_free(bin_folder) and links.give_back(bin_folder / HOME / FOREIGN, bin_folder / PLUGIN)
