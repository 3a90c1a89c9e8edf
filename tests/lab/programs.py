"""Which programs the lab runs, where they are, and what to do about those that are missing. Pure but for looking."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREE = ROOT / "dist/spiderpool-ipam"
_LAB = ROOT / ".tools/lab"
_BIRD = _LAB / "bird/usr/sbin"
_FRR = Path("/usr/lib/frr")

CALICO = _LAB / "calico"
CALICO_INSTALL = _LAB / "calico-install"
CALICO_CRDS = _LAB / "calico-crds.yaml"
CALICOCTL = _LAB / "calicoctl"
CONFD = _LAB / "confd"
CONFD_TEMPLATES = _LAB / "confd-templates"
HELM = ROOT / ".tools/bin/helm"
CHART = _LAB / "spiderpool-chart"
SPIDERPOOL_CRDS = _LAB / "spiderpool-crds"
BIRD, BIRD6, BIRDC, BIRDC6 = (_BIRD / name for name in ("bird", "bird6", "birdc", "birdc6"))
ZEBRA, BGPD = _FRR / "zebra", _FRR / "bgpd"
CNITOOL = ROOT / ".tools/bin/cnitool"
SPIDERPOOL_GO = ROOT / ".tools/bin/spiderpool-go"
OURS = TREE / "spiderpool-ipam"
# What Calico's image has beside Calico's own plugins.
REFERENCE_PLUGINS = [Path("/usr/lib/cni") / name for name in ("portmap", "bandwidth", "loopback", "host-local")]

_BUILT_BY_LAB_TOOLS = [
    CALICO, CALICO_INSTALL, CALICO_CRDS, CALICOCTL, CONFD, CONFD_TEMPLATES, CHART, SPIDERPOOL_CRDS, BIRD, BIRD6,
    _LAB / "spiderpool-agent", _LAB / "spiderpool-controller",
]  # fmt: skip
_PACKAGES = {
    "ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux", "setpriv": "util-linux", "mount": "mount",
    "ping": "iputils-ping", "jq": "jq", "vtysh": "frr",
}  # fmt: skip


def missing() -> list[str]:
    """Return a line for each thing that has to be done before the lab can run."""
    if os.geteuid():
        return ["the lab makes namespaces and mounts: run it as root"]
    found = {
        "make lab-tools": [path for path in _BUILT_BY_LAB_TOOLS if not path.exists()],
        "make tools": [path for path in (CNITOOL, HELM, SPIDERPOOL_GO) if not path.exists()],
        "make build": [path for path in (OURS, TREE / "spiderpool") if not path.exists()],
        "apt-get install --no-install-recommends frr": [path for path in (ZEBRA, BGPD) if not path.exists()],
        "apt-get install --no-install-recommends containernetworking-plugins": [
            path for path in REFERENCE_PLUGINS if not path.exists()
        ],
    }
    for program, package in _PACKAGES.items():
        if not shutil.which(program):
            found.setdefault(f"apt-get install --no-install-recommends {package}", []).append(Path(program))
    return [
        f"{', '.join(sorted(path.name for path in paths))} missing: `{remedy}`"
        for remedy, paths in found.items()
        if paths
    ]
