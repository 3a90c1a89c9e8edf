"""`spiderpool-ipam attach`: run a conflist's IPAM plugin by hand (cni/delegate.py), and end with its exit status."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cni.cli.node_options import failing_in_one_line
from cni.cli.table import literal, print_table
from cni.cni_versions import SUPPORTED
from cni.defaults import ATTACH_FOLDER, BIN_FOLDER
from cni.delegate import Delegate, DelegateError, PodInterface, container_id_of, keep_result, parse_output, read_result


def _takes_network(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name the network; it is called with a Delegate."""

    @click.option("--conf", required=True, type=click.Path(path_type=Path), help="Conflist or network configuration.")
    @click.option("--cni-path", envvar="CNI_PATH", default=BIN_FOLDER, show_default=True, help="Plugin folders.")
    @click.option(
        "--cni-version", metavar="VERSION",
        help=f"In the place of the configuration's own: {SUPPORTED[0]} to {SUPPORTED[-1]}, or one to be refused.",
    )  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="Print what the plugin printed.")
    @functools.wraps(command)
    def with_delegate(conf: Path, cni_path: str, cni_version: str | None, **rest: Any) -> None:
        with failing_in_one_line():
            try:
                command(Delegate(conf, cni_path, cni_version), **rest)
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
        netns = netns and str(Path(netns).absolute())
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
    if not as_json:
        _show(f"{attachment.pod_namespace}/{attachment.pod_name} {attachment.ifname}", result)
    try:
        keep_result(delegate.result_file(state, attachment), result)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}"
        click.echo(f"the result cannot be kept, so `attach check` will not find it: {why}", err=True)


@attach.command()
@_takes_network
@_takes_pod
def check(delegate: Delegate, attachment: PodInterface, state: Path, as_json: bool) -> None:
    """Check that the pod still holds what add gave it."""
    try:
        prev_result = read_result(delegate.result_file(state, attachment))
    except DelegateError as error:
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


def _finish(command: str, done: subprocess.CompletedProcess[bytes], as_json: bool) -> dict[str, Any]:
    """Return the plugin's result; if the plugin failed, say why and end with its exit status. DelegateError."""
    if as_json and done.stdout:
        click.echo(done.stdout.rstrip(b"\n"))
    if done.returncode:
        if not as_json or not done.stdout:
            click.secho(f"{command} failed: {literal(_reason(done))}", fg="red", err=True)
        sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)
    # SPEC: only ADD and VERSION print something on success. An object is harmless; whatever else there is, is not.
    result = parse_output(done.stdout) if done.stdout or command == "add" else {}
    if command != "add" and not as_json:
        click.echo(f"{command}: ok")
    return result


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    try:
        error = parse_output(done.stdout)
        return f"code {error['code']}: {error['msg']}" + (f" ({error['details']})" if error.get("details") else "")
    except (DelegateError, KeyError):
        output = (done.stdout + done.stderr).decode(errors="backslashreplace")
        return f"exit status {done.returncode}: {output.strip()[:300] or 'no output'}"


def _show(label: str, result: dict[str, Any]) -> None:
    """Print a result as a table. DelegateError where it is none."""
    try:
        columns = _columns(label, result)
    except (AttributeError, KeyError, TypeError):
        text = f"the plugin's output is not a CNI result: {json.dumps(result)[:200]}"
        raise DelegateError(text) from None
    print_table({title: cells for title, cells in columns.items() if any(cells)})
    if result.get("dns"):
        click.echo(f"dns {json.dumps(result['dns'])}")


def _columns(label: str, result: dict[str, Any]) -> dict[str, list[str]]:
    # Up to CNI 0.2.0 a result has one object for each family.
    families = [result[key] for key in ("ip4", "ip6") if key in result]
    ips = result.get("ips") or [{"address": ip["ip"], **ip} for ip in families]
    if not ips:
        raise DelegateError(f"the plugin gave no address: {json.dumps(result)[:200]}")
    routes = [route for holder in [result, *families] for route in holder.get("routes") or []]
    destinations = [_text(route, "dst") + (f" via {_text(route, 'gw')}" if route.get("gw") else "") for route in routes]
    below = [""] * (len(ips) - 1)
    return {
        "pod and interface": [literal(label), *below],
        "address": [_text(ip, "address") for ip in ips],
        "gateway": [_text(ip, "gateway") if ip.get("gateway") else "" for ip in ips],
        "routes": ["\n".join(destinations), *below],
    }


def _text(holder: dict[str, Any], key: str) -> str:
    """Return the text of a key as it can be printed. KeyError, TypeError."""
    if not isinstance(holder[key], str):
        raise TypeError
    return literal(holder[key])
