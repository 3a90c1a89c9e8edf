"""Runs SpiderPool's own agent and controller as its chart does: their environment, configuration and certificate.

Both go on after SIGTERM once they have stopped serving, so they are ended by SIGKILL. Side effects: their processes,
and the files in the folder that each is given.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.requirements import LAB_TOOLS

AGENT = LAB_TOOLS / "spiderpool-agent"
CONTROLLER = LAB_TOOLS / "spiderpool-controller"
# The chart's values that matter here. Subnets would need the controller before each pool.
_SETTINGS = {
    "enableIPv4": True,
    "enableIPv6": True,
    "enableStatefulSet": True,
    "enableCleanOutdatedEndpoint": True,
    "enableSpiderSubnet": False,
    "enableIPConflictDetection": False,
    "enableGatewayDetection": False,
    "tuneSysctlConfig": False,
}
_START = 60.0  # seconds until a program serves; on a machine without load it takes one or two
_END = 0.5  # seconds after SIGTERM, in which they stop serving and give back the lease


class SpiderpoolError(Exception):
    """A program does not serve; the text names its log."""


class Program(NamedTuple):
    """A running agent or controller."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def stop(self) -> None:
        """End it; an agent's socket is removed by itself before."""
        self.process.terminate()
        try:
            self.process.wait(_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_agent(
    node: str,
    socket: Path,
    kubeconfig: Path,
    folder: Path,
    *,
    within: Sequence[str | Path] = (),
    first_port: int = 5710,
    cluster_network: str = "kube-system/k8s-pod-network",
    **settings: object,
) -> Program:
    """Start a node's agent and wait until it serves on the socket.

    `within` is put before its command line, to enter namespaces; it must not fork. The agent takes two TCP ports from
    `first_port` on. It refuses every eth0 if the `cluster_network` of Multus is empty. `settings` are those of its
    conf.yml, such as enableIPv6=False. Raise SpiderpoolError.
    """
    configuration = _configuration(folder, ipamUnixSocketPath=str(socket), **settings)
    environ = {
        "SPIDERPOOL_POD_NAME": f"spiderpool-agent-{node}",
        "SPIDERPOOL_NODE_NAME": node,
        "MULTUS_CLUSTER_NETWORK": cluster_network,
        **_environment(kubeconfig, first_port),
    }
    command: list[str | Path] = [*within, AGENT, "daemon", f"--config-path={configuration}"]
    socket.unlink(missing_ok=True)  # of an agent that was killed, which nobody answers on

    def is_healthy() -> bool:
        if not socket.exists():
            return False
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=5) as client:
            return client.get("http://agent/v1/ipam/healthy").is_success

    return _started(command, environ, folder / "agent.log", is_healthy)


def start_controller(kubeconfig: Path, folder: Path, *, first_port: int = 5720, **environ: str) -> Program:
    """Start the controller and wait until it is the leader and collects what is left behind.

    It takes three TCP ports from `first_port` on. Its webhooks are served, but no API server of ours calls them.
    `environ` changes the environment that the chart gives it. Raise SpiderpoolError.
    """
    certificate, key = _certificate(folder)
    environment = {
        "SPIDERPOOL_POD_NAME": "spiderpool-controller-0",
        "SPIDERPOOL_WEBHOOK_PORT": str(first_port + 2),
        **_environment(kubeconfig, first_port),
        **environ,
    }
    files = [f"--config-path={_configuration(folder)}", f"--tls-server-cert={certificate}", f"--tls-server-key={key}"]
    url = f"http://127.0.0.1:{first_port}/v1/runtime/readiness"
    command: list[str | Path] = [CONTROLLER, "daemon", *files]
    return _started(command, environment, folder / "controller.log", lambda: httpx.get(url, timeout=5).is_success)


def _environment(kubeconfig: Path, first_port: int) -> dict[str, str]:
    return {
        "KUBECONFIG": str(kubeconfig),
        "SPIDERPOOL_POD_NAMESPACE": "kube-system",
        "SPIDERPOOL_LOG_LEVEL": "info",
        "SPIDERPOOL_HEALTH_PORT": str(first_port),
        "SPIDERPOOL_METRIC_HTTP_PORT": str(first_port + 1),
        "SPIDERPOOL_GOPS_LISTEN_PORT": "",  # which turns it off
    }


def _configuration(folder: Path, **settings: object) -> Path:
    """Write the conf.yml of a program, and return its path; JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "conf.yml"
    path.write_text(json.dumps(_SETTINGS | settings))
    return path


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make the certificate of the webhooks' server, under the names that it looks for in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "tls.crt", folder / "tls.key"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days=2",
         "-subj=/CN=localhost", "-keyout", key, "-out", certificate],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    if made.returncode:
        raise SpiderpoolError(f"openssl made no certificate: {made.stderr.strip()}")
    return certificate, key


def _started(command: Sequence[str | Path], environ: dict[str, str], log: Path, is_well: Callable[[], bool]) -> Program:
    """Start a program and wait until it answers that it is well; end it if it does not."""
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    program, deadline = Program(process, log), time.monotonic() + _START
    try:
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if is_well():
                    return program
            time.sleep(0.1)
    except BaseException:
        program.stop()
        raise
    ended = process.poll()
    program.stop()
    what = f"ended with status {ended}" if ended is not None else f"does not serve after {_START:.0f} s"
    raise SpiderpoolError(f"{log.stem} {what}: {_last_words(log)}; all of it is in {log}")


def _last_words(log: Path) -> str:
    """Return the last complaint in a log, or its last line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    complaints = [line for line in lines if '"level":"FATAL"' in line or '"level":"ERROR"' in line]
    return ["its log is empty", *lines, *complaints][-1][:300]
