"""`spiderpool-ipam attach`: run a conflist's IPAM plugin by hand. Side effects: runs it, keeps what ADD printed.

It does what Calico does: takes the plugin of the conflist that delegates IPAM, runs the IPAM plugin with that
configuration on stdin and the runtime's environment, and ends with its exit status. CNI specification section 2
("Parameters"), 3 ("Deriving execution configuration from plugin configuration") and 4 ("Delegated plugins").
"""

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

STATE = Path("/var/lib/spiderpool-ipam/attach")


class Delegate:
    """The IPAM plugin that a network configuration delegates to, and what it gets on stdin."""

    def __init__(self, conf: Path, cni_path: str) -> None:
        self.cni_path = cni_path
        self.document = _execution_configuration(conf)
        self.executable = _find(self.document["ipam"]["type"], cni_path)

    def run(self, command: str, environ: dict[str, str], **more: Any) -> subprocess.CompletedProcess[str]:
        """Run one CNI command; `more` is added to the configuration on stdin."""
        environ = {"CNI_COMMAND": command, "CNI_PATH": self.cni_path, "PATH": os.environ.get("PATH", ""), **environ}
        stdin = json.dumps({**self.document, **more})
        try:
            # S603: running the operator's own plugin is what this command is for.
            return subprocess.run(  # noqa: S603
                [self.executable], input=stdin, env=environ, capture_output=True, text=True, check=False
            )
        except OSError as error:
            _fail(f"cannot run {self.executable}: {error.strerror}")


def _execution_configuration(conf: Path) -> dict[str, Any]:
    try:
        document = json.loads(conf.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        _fail(f"{conf}: {error}")
    plugins = document.get("plugins", [document]) if isinstance(document, dict) else []
    delegating = [plugin for plugin in plugins if _delegates(plugin)] if isinstance(plugins, list) else []
    if not delegating:
        _fail(f"{conf}: no plugin with an ipam.type in it")
    # SPEC 3: "cniVersion" and "name" are those of the list.
    return {**delegating[0], **{key: document[key] for key in ("cniVersion", "name") if key in document}}


def _delegates(plugin: Any) -> bool:
    ipam = plugin.get("ipam") if isinstance(plugin, dict) else None
    return isinstance(ipam, dict) and isinstance(ipam.get("type"), str)


def _find(name: str, cni_path: str) -> Path:
    paths = [Path(folder) / name for folder in cni_path.split(":") if "/" not in name]
    found = next((path for path in paths if path.is_file()), None)
    return found or _fail(f"no plugin {name!r} in {cni_path}: install it, or name its folder with --cni-path")


class Pod:
    """The attachment as a runtime would name it; `state` is where ADD's result is kept, as libcni keeps it."""

    def __init__(self, pod: str, pod_uid: str, container_id: str, ifname: str, netns: str, state: Path) -> None:
        namespace, slash, name = pod.partition("/")
        if not slash or not namespace or not name:
            raise click.BadParameter("want NAMESPACE/NAME", param_hint="--pod")
        self.label = f"{pod} {ifname}"
        self._ifname = ifname
        # The same pod gets the same container ID each time, so that del finds what add made.
        self._container_id = container_id or hashlib.sha256(pod.encode()).hexdigest()
        self._state = state
        args = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": namespace,
            "K8S_POD_NAME": name,
            "K8S_POD_INFRA_CONTAINER_ID": self._container_id,
            "K8S_POD_UID": pod_uid,
        }
        self.environ = {
            "CNI_CONTAINERID": self._container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in args.items() if value),
        }

    def result_file(self, delegate: Delegate) -> Path:
        """Return where ADD's result is kept for CHECK."""
        return self._state / f"{delegate.document.get('name', '')}-{self._container_id}-{self._ifname}.json"


def _takes_network(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name the network; it gets a Delegate for them."""

    @click.option("--conf", required=True, type=click.Path(path_type=Path), help="Conflist or network configuration.")
    @click.option("--cni-path", envvar="CNI_PATH", default="/opt/cni/bin", show_default=True, help="Plugin folders.")
    @click.option("--json", "as_json", is_flag=True, help="Print what the plugin printed.")
    @functools.wraps(command)
    def with_delegate(conf: Path, cni_path: str, **rest: Any) -> None:
        command(Delegate(conf, cni_path), **rest)

    return with_delegate


def _takes_pod(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name the attachment; it gets a Pod for them."""

    @click.option("--pod", required=True, metavar="NS/NAME", help="The pod. A real agent must know it.")
    @click.option("--pod-uid", default="", metavar="UID", help="Its UID; a real agent's DEL needs it.")
    @click.option("--container-id", default="", metavar="ID", help="Made from the pod's name when left out.")
    @click.option("--ifname", default="eth0", show_default=True, help="The interface.")
    @click.option(
        "--netns", default="/var/run/netns/pod", show_default=True, help="Passed on; spiderpool does not open it."
    )
    @click.option("--state", type=click.Path(path_type=Path), default=STATE, show_default=True, help="Keeps results.")
    @functools.wraps(command)
    def with_pod(
        *delegate: Delegate,
        pod: str,
        pod_uid: str,
        container_id: str,
        ifname: str,
        netns: str,
        state: Path,
        **rest: Any,
    ) -> None:
        command(*delegate, Pod(pod, pod_uid, container_id, ifname, netns, state), **rest)

    return with_pod


@click.group()
def attach() -> None:
    """Run a conflist's IPAM plugin by hand, as Calico does, and end with its exit status."""


@attach.command()
@_takes_network
@_takes_pod
def add(delegate: Delegate, pod: Pod, as_json: bool) -> None:
    """Allocate addresses for a pod's interface and show them."""
    result = _finish("add", delegate.run("ADD", pod.environ), as_json)
    _keep(pod.result_file(delegate), result)
    if as_json:
        return
    try:
        _show(pod.label, result)
    except (AttributeError, KeyError, TypeError):
        _fail(f"the plugin's output is not a CNI result: {json.dumps(result)[:200]}")


@attach.command()
@_takes_network
@_takes_pod
def check(delegate: Delegate, pod: Pod, as_json: bool) -> None:
    """Check that the pod still holds what add gave it."""
    try:
        prev_result = json.loads(pod.result_file(delegate).read_text())
    except (OSError, ValueError) as error:
        _fail(f"check compares with what `attach add` printed; run that first, or name its --state: {error}")
    _finish("check", delegate.run("CHECK", pod.environ, prevResult=prev_result), as_json)


@attach.command("del")
@_takes_network
@_takes_pod
def delete(delegate: Delegate, pod: Pod, as_json: bool) -> None:
    """Release the pod's addresses."""
    _finish("del", delegate.run("DEL", pod.environ), as_json)
    pod.result_file(delegate).unlink(missing_ok=True)


@attach.command()
@_takes_network
def status(delegate: Delegate, as_json: bool) -> None:
    """Ask whether the plugin is ready for add."""
    _finish("status", delegate.run("STATUS", {}), as_json)


@attach.command()
@_takes_network
@click.option("--keep", multiple=True, metavar="CONTAINER_ID/IFNAME", help="An attachment to keep; repeat it.")
@click.option("--keep-none", is_flag=True, help="Free everything that the network holds.")
def gc(delegate: Delegate, as_json: bool, keep: tuple[str, ...], keep_none: bool) -> None:
    """Free what the network holds for attachments other than those to keep."""
    if bool(keep) == keep_none:
        raise click.UsageError("say which attachments to keep: --keep CONTAINER_ID/IFNAME …, or --keep-none")
    pairs = [attachment.partition("/") for attachment in keep]
    if not all(container_id and ifname for container_id, _, ifname in pairs):
        raise click.BadParameter("want CONTAINER_ID/IFNAME", param_hint="--keep")
    valid = [{"containerID": container_id, "ifname": ifname} for container_id, _, ifname in pairs]
    _finish("gc", delegate.run("GC", {}, **{"cni.dev/valid-attachments": valid}), as_json)


def _finish(command: str, done: subprocess.CompletedProcess[str], as_json: bool) -> dict[str, Any]:
    """Return the plugin's result; end with its exit status where it failed, saying why."""
    if as_json and done.stdout:
        click.echo(done.stdout.rstrip("\n"))
    if done.returncode:
        if not as_json:
            click.secho(f"{command} failed: {_reason(done)}", fg="red", err=True)
        sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)
    try:
        result = json.loads(done.stdout) if done.stdout else {}
    except ValueError:
        _fail(f"the plugin's output is not JSON: {done.stdout[:200]!r}")
    if command != "add" and not as_json:
        click.echo(f"{command}: ok")
    return result if isinstance(result, dict) else {}


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    try:
        error = json.loads(done.stdout)
        return f"code {error['code']}: {error['msg']}" + (f" ({error['details']})" if error.get("details") else "")
    except (ValueError, KeyError, TypeError):
        return f"exit status {done.returncode}: {(done.stdout + done.stderr).strip()[:300] or 'no output'}"


def _keep(file: Path, result: dict[str, Any]) -> None:
    partial = file.with_suffix(".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(result))
        partial.replace(file)
    except OSError as error:
        click.echo(f"the result is not kept, `attach check` will miss it: {error}", err=True)


def _show(label: str, result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    # Up to 0.2.0 a result has one object per family.
    families = [result[key] for key in ("ip4", "ip6") if key in result]
    ips = result.get("ips") or [{"address": ip["ip"], **ip} for ip in families]
    routes = [route for holder in [result, *families] for route in holder.get("routes") or []]
    texts = [f"{route['dst']} via {route['gw']}" if route.get("gw") else route["dst"] for route in routes]
    below = [""] * (len(ips) - 1)
    columns = {
        "pod and interface": [label, *below],
        "address": [ip["address"] for ip in ips],
        "gateway": [ip.get("gateway", "") for ip in ips],
        "routes": ["\n".join(texts), *below],
    }
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    # A pipe has no width: nothing is cut there for the sake of one.
    console = Console(width=None if sys.stdout.isatty() else 400)
    console.print(table)
    if result.get("dns"):
        console.print("dns", json.dumps(result["dns"]))


def _fail(text: str) -> NoReturn:
    click.secho(f"attach: {text}", fg="red", err=True)
    sys.exit(1)
