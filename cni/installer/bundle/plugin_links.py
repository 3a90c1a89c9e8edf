"""The bundle in the node's folder of plugins. Side effects: files below that folder, and running the plugin once.

    <bin>/spiderpool -> .spiderpool/current/spiderpool
    <bin>/.spiderpool/current -> <version>-<hash8>
    <bin>/.spiderpool/<version>-<hash8>/        the bundle; the one before stays, a process may still start from it
    <bin>/.spiderpool/foreign                   the plugin of others that <bin>/spiderpool was before

All links are relative, because the folder may be mounted elsewhere. Each step is a rename, so that a runtime finds the
old plugin or the new one at every moment, and the next run completes one that was killed.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from cni.defaults import IPAM_TYPE
from cni.installer.bundle import tree as trees
from cni.installer.conflict import Reason
from cni.installer.errors import InstallerError
from cni.installer.node.atomic_file import sync_folder

HOME = ".spiderpool"
CURRENT = "current"
FOREIGN = "foreign"
PLUGIN = IPAM_TYPE  # a runtime looks for the file that ipam.type names
_LINK = f"{HOME}/{CURRENT}/{PLUGIN}"
OPERATOR = "spiderpool-ipam"  # the operator program's launcher: the same bytes as the plugin's
_SELF_TEST_TIMEOUT = 30  # seconds; a cold start from a slow disk included


class BundleError(InstallerError):
    """Why the bundle cannot be installed."""


class Installed(NamedTuple):
    """The result of installing a bundle."""

    name: str  # <version>-<hash8>
    changed: bool
    kept_foreign: bool  # another plugin had the name, and is kept for uninstall


def install(tree: Path, bin_folder: Path, version: str) -> Installed:
    """Copy a bundle into the folder of plugins and switch to it. BundleError, OSError: what was there stays."""
    home = bin_folder / HOME
    name = name_of(tree, version)
    if tree.resolve().parent == home.resolve() and tree.resolve().name != name:
        raise BundleError(f"{tree} is damaged: install the release again, from its tarball or image")
    if not (home / name).exists():
        _require_space(tree, bin_folder)
    home.mkdir(mode=0o755, exist_ok=True)
    trees.install_tree(tree, home / name)
    plugin = home / name / PLUGIN
    if answer := _self_test(plugin):
        raise BundleError(f"{plugin} does not answer VERSION on this node, nothing was switched: {answer}")
    current = home / CURRENT
    before = current.readlink().name if current.is_symlink() else name
    was_ours = _is_ours(bin_folder / PLUGIN)
    flipped = flip(current, name)
    kept_foreign = _take_name(bin_folder)
    if flipped:  # otherwise the version before this one is still the one to go back to
        _remove_older(home, {name, before})
    return Installed(name, flipped or not was_ours, kept_foreign)


def is_there(bin_folder: Path) -> bool:
    """Tell whether a bundle, or what is left of one, is in the folder of plugins."""
    return (bin_folder / HOME).is_dir()


def current_bundle(bin_folder: Path) -> str | None:
    """Return the name of the bundle in force: None unless <bin>/spiderpool leads to it."""
    plugin, current = bin_folder / PLUGIN, bin_folder / HOME / CURRENT
    if not _is_ours(plugin) or not plugin.exists():
        return None
    return current.readlink().name


def bundles(bin_folder: Path) -> list[str]:
    """Return the names of the bundles that are there."""
    home = bin_folder / HOME
    folders = [path for path in home.iterdir() if path.is_dir() and not path.is_symlink()] if home.is_dir() else []
    return sorted(path.name for path in folders if not path.name.startswith("."))


def fault(bin_folder: Path) -> str:
    """Return what is wrong with <bin>/spiderpool and the bundle in force, "" for nothing. OSError."""
    name = current_bundle(bin_folder)
    if name is None:
        return "is missing or another program: run install, then keep watch running"
    folder = bin_folder / HOME / name
    if trees.digest(folder)[:8] != name.rpartition("-")[2]:
        return f"is damaged, its files are not those of {name}: install the release again"
    answer = _self_test(folder / PLUGIN)
    return f"does not answer VERSION: {answer}" if answer else ""


def has_launcher(bin_folder: Path) -> bool:
    """Tell whether the bundle in force has one of its launchers still, so that `reconcile` can repair it."""
    current = bin_folder / HOME / CURRENT
    return (current / PLUGIN).exists() or (current / OPERATOR).exists()


def drift(bin_folder: Path) -> Reason | None:
    """Return what somebody else has done to <bin>/spiderpool, if anybody has. OSError where there is no bundle.

    The agent's container copies its own plugin over ours at each start (its chart's postStart: mv, cp, rm).
    """
    plugin = bin_folder / PLUGIN
    if _launcher_is_overwritten(bin_folder):
        return "overwritten"
    if _is_ours(plugin):
        return None
    return "replaced" if os.path.lexists(plugin) else "removed"


def is_being_replaced(bin_folder: Path) -> bool:
    """Tell whether the agent's container has moved <bin>/spiderpool away, and is about to copy its own plugin there.

    A link that is put there before the copy begins would have the copy written over the bundle's launcher.
    """
    plugin = bin_folder / PLUGIN
    return not os.path.lexists(plugin) and os.path.lexists(plugin.with_name(f"{PLUGIN}.old"))


def reconcile(bin_folder: Path) -> None:
    """Have <bin>/spiderpool lead to the bundle in force again, and that have its launcher. OSError."""
    if _launcher_is_overwritten(bin_folder):
        launcher = bin_folder / HOME / CURRENT / PLUGIN
        trees.replace(launcher.with_name(OPERATOR), launcher)
    _take_name(bin_folder)


def successor(bin_folder: Path) -> Path | None:
    """Return the other plugin that has our name once ours is gone; None where the name then leads nowhere."""
    plugin, foreign = bin_folder / PLUGIN, bin_folder / HOME / FOREIGN
    after = foreign if _is_free(plugin) else plugin
    return after if after.is_file() and os.access(after, os.X_OK) else None


def uninstall(bin_folder: Path) -> list[str]:
    """Remove the bundle, and have <bin>/spiderpool be what it was before; say what was done. OSError."""
    home, plugin = bin_folder / HOME, bin_folder / PLUGIN
    done = []
    if _is_free(plugin) and os.path.lexists(home / FOREIGN):
        (home / FOREIGN).rename(plugin)
        done.append(f"{PLUGIN} is what it was before")
    elif _is_ours(plugin):
        plugin.unlink()
        done.append(f"{PLUGIN} is removed")
    elif os.path.lexists(plugin):
        done.append(f"{PLUGIN} is left: it is no longer ours")
    sync_folder(bin_folder)
    if home.exists():
        (home / CURRENT).unlink(missing_ok=True)
        shutil.rmtree(home)
        sync_folder(bin_folder)
        done.append(f"{HOME} is removed")
    return done


def name_of(tree: Path, version: str) -> str:
    """Return the name of a bundle's folder: <version>-<hash8>."""
    return f"{version}-{trees.digest(tree)[:8]}"


def _require_space(tree: Path, folder: Path) -> None:
    needed = trees.size(tree)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BundleError(f"{folder} has {free // 2**20} MiB left, the bundle takes {needed // 2**20}: make room")


def _self_test(plugin: Path) -> str:
    """Ask the plugin for its versions, where runtimes run it; return what is wrong with its answer, "" for nothing."""
    try:
        # S603: it is a file of our own bundle.
        done = subprocess.run(  # noqa: S603
            [plugin], env={"CNI_COMMAND": "VERSION"}, input="", capture_output=True, text=True,
            timeout=_SELF_TEST_TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode == 0 and json.loads(done.stdout)["supportedVersions"]:
            return ""
        return f"exit status {done.returncode}: {(done.stdout + done.stderr).strip()[:200]}"
    except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
        return str(error)


def flip(link: Path, target: str) -> bool:
    """Have a link lead to `target`, by a rename, so that it is never missing; tell whether it led elsewhere before."""
    if link.is_symlink() and str(link.readlink()) == target:
        return False
    new = link.with_name(f".new-{link.name}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(link)
    sync_folder(link.parent)
    return True


def _take_name(bin_folder: Path) -> bool:
    """Have <bin>/spiderpool lead to our bundle; keep another plugin of that name, and tell whether there was one."""
    plugin, foreign = bin_folder / PLUGIN, bin_folder / HOME / FOREIGN
    is_foreign = os.path.lexists(plugin) and not _is_ours(plugin)
    if is_foreign:
        # The other plugin gets a second name before ours takes the first: there is a plugin at each moment.
        foreign.unlink(missing_ok=True)
        os.link(plugin, foreign, follow_symlinks=False)
        sync_folder(foreign.parent)
    if not _is_ours(plugin):
        new = bin_folder / HOME / f".new-{PLUGIN}"
        new.unlink(missing_ok=True)
        new.symlink_to(_LINK)
        new.rename(plugin)
        sync_folder(bin_folder)
    return is_foreign


def _launcher_is_overwritten(bin_folder: Path) -> bool:
    """Tell whether the bundle's launcher is missing or another program: cp follows our link into the bundle."""
    launcher = bin_folder / HOME / CURRENT / PLUGIN
    return not launcher.is_file() or trees.fingerprint(launcher) != trees.fingerprint(launcher.with_name(OPERATOR))


def _is_ours(plugin: Path) -> bool:
    return plugin.is_symlink() and str(plugin.readlink()) == _LINK


def _is_free(plugin: Path) -> bool:
    """Tell whether another plugin that was kept may have the name back."""
    return _is_ours(plugin) or not os.path.lexists(plugin)


def _remove_older(home: Path, keep: set[str]) -> None:
    for path in home.iterdir():
        if path.is_dir() and not path.is_symlink() and path.name not in keep:
            shutil.rmtree(path, ignore_errors=True)
