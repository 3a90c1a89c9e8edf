"""`make fuzz`: tries N inputs of any kind wherever bytes come in, guided by coverage.

    python -m tests.fuzz [--runs N] [TARGET …]

Each target runs in a process of its own, under atheris (libFuzzer), and in a chroot, because a network configuration
names files to write. The vectors are the seeds. A find is an input that raises an exception which the target does not
expect, or that takes a second. It is kept in dist/fuzz/ and should become a vector or a test.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cni.contracts.netconf import Ipam
from tests import requirements, vectors

FINDS = requirements.ROOT / "dist/fuzz"
NAMES = ("stdin", "cni_args", "agent", "conflist", "pools")
COMMANDS = ("ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION")  # the first byte of some inputs is an index into this
SOCKET = "/agent.sock"
HANG = 1  # seconds
MEMORY = 2048  # MB
MANIFEST = """apiVersion: spiderpool.spidernet.io/v2beta1
kind: SpiderIPPool
metadata: {name: v4}
spec:
  ipVersion: 4
  subnet: 10.244.0.0/16
  gateway: 10.244.0.1
  ips: [10.244.100.10-10.244.100.200, 10.244.101.1]
  excludeIPs: [10.244.100.13]
  routes: [{dst: 172.16.0.0/12, gw: 10.244.0.2}]
  default: true
"""


# Words that the fuzzer inserts, in addition to the keys of the network configuration.
WORDS = r"""
cniVersion name type ipam prevResult plugins args cni ips runtimeConfig routes dns interfaces address gateway nic
version ifName dst gw vlan null true 1e999 -0 enableGatewayDetection calico 1.1.0 0.2.0 10.244.100.10/16
fd00:244::a/64 ::/0 10.0.0.0/8 [ ] { } , : " ; \u0000 \ud800 K8S_POD_UID= IP= spec: ipVersion: subnet: excludeIPs: ---
&a *a << !!python/name:os.system
"""
LINES = (
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: ",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "\r\n\r\n",
)


def dictionary() -> str:
    """Return the words in libFuzzer's form."""
    words = [*WORDS.split(), *LINES, *Ipam.__annotations__]
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n' for word in words)


def seeds(target: str) -> Iterator[bytes]:
    """Yield the inputs to begin with; their first byte chooses a command or a variable."""
    for vector in vectors.load():
        stdin = vector.stdin.replace(b"@SOCKET@", SOCKET.encode()).replace(b"@LOG@", b"/log")
        if target == "stdin":
            command = vector.environment.get("CNI_COMMAND", "")
            yield bytes([COMMANDS.index(command) if command in COMMANDS else 0]) + stdin
        elif target == "cni_args":
            yield b"\0" + vector.environment.get("CNI_ARGS", "").encode()
        elif target == "agent":
            for exchange in vector.agent or []:
                yield b"\0" + response(exchange.get("response") or {})
        elif target == "conflist":
            yield b'{"name":"n","plugins":[' + stdin + b',{"type":"portmap"}]}'
    if target == "pools":
        yield MANIFEST.encode()


def response(recorded: dict[str, Any]) -> bytes:
    """Return a recorded answer in the form in which an agent sends it."""
    body = json.dumps(recorded.get("body")).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (recorded.get("status", 200), len(body), body)


def run(target: str, runs: int, seed: int, broken: str) -> bool:
    """Fuzz one target and print a summary; return whether nothing was found."""
    with tempfile.TemporaryDirectory() as root:
        corpus = Path(root) / "corpus"
        corpus.mkdir()
        for number, data in enumerate(set(seeds(target))):
            (corpus / f"{number:04d}").write_bytes(data)
        (Path(root) / "words").write_text(dictionary())
        started = time.monotonic()
        command = [sys.executable, "-m", "tests.fuzz.worker", target, root, str(runs), str(seed), broken]
        done = subprocess.run(command, cwd=requirements.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        seconds = time.monotonic() - started
        output = done.stdout.decode(errors="replace")
        tried = [int(number) for number in re.findall(r"^#(\d+)", output, re.MULTILINE)]
        inputs, features = max(tried, default=0), re.findall(r"ft: (\d+)", output)
        verdict = "nothing found" if done.returncode == 0 else "FOUND"
        print(
            f"{target:9}{inputs:>9} inputs, {features[-1] if features else 0:>5} features, {seconds:.0f} s: {verdict}"
        )
        if done.returncode:
            keep(target, Path(root), output)
        return done.returncode == 0 and inputs >= runs


def keep(target: str, root: Path, output: str) -> None:
    """Keep the input of a find, and print what the fuzzer said about it."""
    FINDS.mkdir(parents=True, exist_ok=True)
    for path in root.glob("find-*"):
        (FINDS / f"{target}-{path.name[5:25]}").write_bytes(path.read_bytes())
        print(f"  {FINDS}/{target}-{path.name[5:25]}: {path.read_bytes()[:300]!r}")
    print("  " + "\n  ".join(output.splitlines()[-25:]))


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what takes bytes from others.")
    parser.add_argument("--runs", type=int, default=50000, help="inputs for all targets together")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument(
        "--break", dest="broken", default="", metavar="NAME", help="a function that is to fail: a check"
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(NAMES)}")
    options = parser.parse_args()
    targets = options.targets or NAMES
    if not set(targets) <= set(NAMES):
        parser.error(f"there are {', '.join(NAMES)}")
    if os.geteuid():
        parser.error("it works in a chroot: run as root")
    seed = options.seed or int(time.time())
    print(f"seed {seed}")
    clean = [run(target, options.runs // len(targets), seed, options.broken) for target in targets]
    return int(not all(clean))


if __name__ == "__main__":
    sys.exit(main())
