"""Checks of what install has put on this node. Pure."""

from collections.abc import Iterator

from cni.contracts.facts import ChainPlugin, Conflist, Installation, Plugin
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader

_INSTALL = command("spiderpool-ipam install")
_COPIES = ("05-spiderpool-calico.conflist", "00-spiderpool-calico.conflist")  # the first as in the documentation
_STATES = {
    "restored": "uninstall has restored the conflist; the plugin stays for pods that use it",
    "unfinished": "the first installation did not finish",
}


def copy_before(path: str) -> Mend | None:
    """Return the command that puts a copy beside a file, which runtimes load before it; None where it sorts first."""
    name = next((one for one in _COPIES if one < path.rpartition("/")[2]), None)
    return command("spiderpool-ipam install --as {}", name) if name else None


def _find_installed(facts: FactReader) -> Iterator[Finding]:
    fault: str = facts.value("node.record_fault")
    if fault:
        yield Finding("the record of install", fault)
        return
    installation: Installation | None = facts.value("node.installation")
    if installation is None:
        yield Finding("this node", "nothing is installed here", _INSTALL)
    elif installation["state"] != "in force":
        yield Finding(installation["conflist"], _STATES[installation["state"]], _INSTALL)


def _find_bundle(facts: FactReader) -> Iterator[Finding]:
    plugin: Plugin = facts.value("node.plugin")
    if plugin["bundle"] is not None and plugin["bundle_fault"]:
        # What overwrites the plugin writes into the release that its name leads to.
        cause = "node-plugin-ours" if plugin["drift"] == "overwritten" else ""
        yield Finding(plugin["path"], plugin["bundle_fault"], _INSTALL, cause=cause)


def _find_answer(facts: FactReader) -> Iterator[Finding]:
    plugin: Plugin = facts.value("node.plugin")
    if plugin["answer_fault"]:
        cause = "node-bundle" if plugin["bundle_fault"] else "" if plugin["bundle"] else "node-plugin-ours"
        yield Finding(plugin["path"], f"no answer to VERSION: {plugin['answer_fault']}", _INSTALL, cause=cause)


def _find_ours(facts: FactReader) -> Iterator[Finding]:
    plugin: Plugin = facts.value("node.plugin")
    if not plugin["drift"]:
        return
    seen = {
        "overwritten": "the launcher that it leads to was overwritten by another program",
        "removed": "it, or a file of its bundle, was removed",
        "replaced": "it is another program of this name",
    }[plugin["drift"]]
    digest = f" (SHA-256 {plugin['sha256'][:12]})" if plugin["sha256"] else ""
    if plugin["watch_runs"]:
        yield Finding(plugin["path"], f"{seen}{digest}; watch runs, and repairs it", severity="warning")
    else:
        yield Finding(plugin["path"], f"{seen}{digest}, and watch does not run", _INSTALL)


def _find_conflist(facts: FactReader) -> Iterator[Finding]:
    conflist: Conflist = facts.value("node.conflist")
    if conflist["fault"]:
        yield Finding(conflist["folder"], conflist["fault"], command("spiderpool-ipam install --conf FILE"))
    elif conflist["drift"]:
        yield Finding(conflist["target"], conflist["drift"], _INSTALL)
    if conflist["loaded_before"]:
        first = conflist["loaded_before"]
        yield Finding(conflist["target"], f"runtimes load another file: {first}", copy_before(first))
    for file in conflist["files"]:
        if file["fault"] and not conflist["fault"]:
            yield Finding(f"{conflist['folder']}/{file['name']}", file["fault"], severity="warning")


def _find_chain(facts: FactReader) -> Iterator[Finding]:
    chain: list[ChainPlugin] = facts.value("node.chain")
    for plugin in chain:
        if plugin["state"] == "missing":
            yield Finding(plugin["path"], f"the chain names the plugin {plugin['type']}, and there is no such file")
        elif plugin["state"] == "not executable":
            mend = command("chmod +x {}", plugin["path"])
            yield Finding(
                plugin["path"], f"the chain names the plugin {plugin['type']}, and it is not executable", mend
            )


CHECKS = (
    Check(
        id="node-installed",
        part="node",
        severity="failure",
        looks_at="the record of install",
        why="Without the plugin, Calico takes the addresses of this node's pods from its own IPAM.",
        to_do="Run `spiderpool-ipam install` on the node, or have the DaemonSet do it.",
        needs=("node.record_fault",),
        uses=("node.installation",),
        find=_find_installed,
        waits=True,
    ),
    Check(
        id="node-bundle",
        part="node",
        severity="failure",
        looks_at="all files of the installed release, by its SHA256SUMS",
        why="A plugin of which a file is damaged or missing fails when a pod starts or, worse, ends.",
        to_do="Install the release again, from its tarball or its image.",
        needs=("node.plugin",),
        find=_find_bundle,
        waits=True,
    ),
    Check(
        id="node-plugin-answers",
        part="node",
        severity="failure",
        looks_at="the answer of the plugin to VERSION, as the runtime would run it",
        why="A runtime that cannot run the plugin starts no pod on this node.",
        to_do=(
            "Install the release again. If the file system is mounted with noexec, name another folder of plugins, and"
            " have the runtime use it; if SELinux denies it, restore the folder's labels with `restorecon`."
        ),
        needs=("node.plugin",),
        find=_find_answer,
        waits=True,
    ),
    Check(
        id="node-plugin-ours",
        part="node",
        severity="failure",
        looks_at="whether `spiderpool` in the folder of plugins is ours",
        why=(
            "Each spiderpool-agent since 0.4 copies its own plugin there when it starts. With that of 0.8.10 to 0.8.13"
            " and of 0.9.9 to 1.1.2, every ADD under Calico fails with “Link not found”."
        ),
        to_do="Install again, and keep `spiderpool-ipam watch` running: it takes the name back within a second.",
        needs=("node.plugin",),
        find=_find_ours,
        waits=True,
    ),
    Check(
        id="node-conflist",
        part="node",
        severity="failure",
        looks_at="the file that the runtime loads for pods, and its ipam.type",
        why="Pods get their addresses from the IPAM that this file names, and from no other.",
        to_do=(
            "Run `spiderpool-ipam install` again. If others write the file again and again, keep"
            " `spiderpool-ipam watch` running, or install with `--as` a name that sorts first."
        ),
        needs=("node.conflist",),
        find=_find_conflist,
        waits=True,
    ),
    Check(
        id="node-chain-binaries",
        part="node",
        severity="failure",
        looks_at="every plugin that the runtime's file names",
        why="If one plugin of the chain is missing, no pod starts.",
        to_do="Install the package that has the plugin: containernetworking-plugins has portmap, bandwidth and tuning.",
        needs=("node.chain",),
        find=_find_chain,
        before_install=True,
        waits=True,
    ),
)
