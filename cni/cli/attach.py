"""`spiderpool-ipam attach`: run a conflist's IPAM plugin by hand (cni/delegate.py), and end with its exit status."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cni.cli.table import print_table
from cni.defaults import ATTACH_FOLDER, BIN_FOLDER
from cni.delegate import Delegate, DelegateError, PodInterface, container_id_of, keep_result


def _takes_network(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name the network; it is called with a Delegate."""

    @click.option("--conf", required=True, type=click.Path(path_type=Path), help="Conflist or network configuration.")
    @click.option("--cni-path", envvar="CNI_PATH", default=BIN_FOLDER, show_default=True, help="Plugin folders.")
    @click.option("--json", "as_json", is_flag=True, help="Print what the plugin printed.")
    @functools.wraps(command)
    def with_delegate(conf: Path, cni_path: str, **rest: Any) -> None:
        try:
            command(Delegate(conf, cni_path), **rest)
        except DelegateError as error:
            raise click.ClickException(str(error)) from None

    return with_delegate


def _takes_pod(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name the attachment; it is called with an PodInterface."""

    @click.option("--pod", required=True, metavar="NS/NAME", help="The pod. A real agent must know it.")
    @click.option("--pod-uid", default="", metavar="UID", help="Its UID. A real agent needs it for DEL.")
    @click.option("--container-id", default="", metavar="ID", help="Made from the pod's name when left out.")
    @click.option("--ifname", default="eth0", show_default=True, help="The interface.")
    @click.option(
        "--netns",
        default="/var/run/netns/pod",
        show_default=True,
        help="The network namespace. spiderpool opens it only if the agent asks for detection.",
    )
    @click.option(
        "--state",
        type=click.Path(path_type=Path),
        default=ATTACH_FOLDER,
        show_default=True,
        help="The folder in which the result of add is kept for check.",
    )
    @functools.wraps(command)
    def with_attachment(
        *delegate: Delegate, pod: str, pod_uid: str, container_id: str, ifname: str, netns: str, **rest: Any
    ) -> None:
        namespace, _, name = pod.partition("/")
        if not namespace or not name:
            raise click.BadParameter("must be NAMESPACE/NAME", param_hint="--pod")
        container_id = container_id or container_id_of(namespace, name)
        command(*delegate, PodInterface(namespace, name, pod_uid, container_id, ifname, netns), **rest)

    return with_attachment


@click.group()
def attach() -> None:
    """Run a conflist's IPAM plugin by hand, as Calico does, and end with its exit status."""


@attach.command()
@_takes_network
@_takes_pod
def add(delegate: Delegate, attachment: PodInterface, state: Path, as_json: bool) -> None:
    """Allocate addresses for a pod's interface and show them."""
    result = _finish("add", delegate.run("ADD", attachment), as_json)
    try:
        keep_result(delegate.result_file(state, attachment), result)
    except OSError as error:
        click.echo(f"the result cannot be kept, so `attach check` will not find it: {error}", err=True)
    if as_json:
        return
    try:
        _show(f"{attachment.pod_namespace}/{attachment.pod_name} {attachment.ifname}", result)
    except (AttributeError, KeyError, TypeError):
        raise click.ClickException(f"the plugin's output is not a CNI result: {json.dumps(result)[:200]}") from None


@attach.command()
@_takes_network
@_takes_pod
def check(delegate: Delegate, attachment: PodInterface, state: Path, as_json: bool) -> None:
    """Check that the pod still holds what add gave it."""
    try:
        prev_result = json.loads(delegate.result_file(state, attachment).read_text())
    except (OSError, ValueError) as error:
        text = "check compares with the result of `attach add`: run that first, or name its --state"
        raise click.ClickException(f"{text}: {error}") from None
    _finish("check", delegate.run("CHECK", attachment, prevResult=prev_result), as_json)


@attach.command("del")
@_takes_network
@_takes_pod
def delete(delegate: Delegate, attachment: PodInterface, state: Path, as_json: bool) -> None:
    """Release the pod's addresses."""
    _finish("del", delegate.run("DEL", attachment), as_json)
    delegate.result_file(state, attachment).unlink(missing_ok=True)


@attach.command()
@_takes_network
def status(delegate: Delegate, as_json: bool) -> None:
    """Ask whether the plugin is ready for add."""
    _finish("status", delegate.run("STATUS", None), as_json)


@attach.command()
@_takes_network
@click.option(
    "--keep", multiple=True, metavar="CONTAINER_ID/IFNAME", help="An attachment to keep. Can be given more than once."
)
@click.option("--keep-none", is_flag=True, help="Free everything that the network holds.")
def gc(delegate: Delegate, as_json: bool, keep: tuple[str, ...], keep_none: bool) -> None:
    """Free what the network holds for attachments other than those to keep."""
    if bool(keep) == keep_none:
        raise click.UsageError("say which attachments to keep: --keep CONTAINER_ID/IFNAME …, or --keep-none")
    pairs = [attachment.partition("/") for attachment in keep]
    if not all(container_id and ifname for container_id, _, ifname in pairs):
        raise click.BadParameter("must be CONTAINER_ID/IFNAME", param_hint="--keep")
    valid = [{"containerID": container_id, "ifname": ifname} for container_id, _, ifname in pairs]
    _finish("gc", delegate.run("GC", None, **{"cni.dev/valid-attachments": valid}), as_json)


def _finish(command: str, done: subprocess.CompletedProcess[str], as_json: bool) -> dict[str, Any]:
    """Return the plugin's result; if the plugin failed, say why and end with its exit status."""
    if as_json and done.stdout:
        click.echo(done.stdout.rstrip("\n"))
    if done.returncode:
        if not as_json:
            click.secho(f"{command} failed: {_reason(done)}", fg="red", err=True)
        sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)
    try:
        result = json.loads(done.stdout) if done.stdout else {}
    except ValueError:
        raise click.ClickException(f"the plugin's output is not JSON: {done.stdout[:200]!r}") from None
    if command != "add" and not as_json:
        click.echo(f"{command}: ok")
    return result if isinstance(result, dict) else {}


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    try:
        error = json.loads(done.stdout)
        return f"code {error['code']}: {error['msg']}" + (f" ({error['details']})" if error.get("details") else "")
    except (ValueError, KeyError, TypeError):
        return f"exit status {done.returncode}: {(done.stdout + done.stderr).strip()[:300] or 'no output'}"


def _show(label: str, result: dict[str, Any]) -> None:
    # Up to CNI 0.2.0 a result has one object for each family.
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
    print_table({title: cells for title, cells in columns.items() if any(cells)})
    if result.get("dns"):
        click.echo(f"dns {json.dumps(result['dns'])}")
