"""What libcni writes (libcni/api.go, cachedInfo), and what else may lie in its folder."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cni.installer.conflist import result_cache
from tests.installer.sample_conflists import CALICO

CACHED = {
    "kind": "cniCacheV1",
    "containerId": "c1",
    "config": base64.b64encode(CALICO.encode()).decode(),
    "ifName": "eth0",
    "networkName": "k8s-pod-network",
    "cniArgs": [["K8S_POD_NAME", "web-0"]],
    "result": {"cniVersion": "0.3.1"},
}


def test_an_attachment_is_told_by_network_and_ipam(tmp_path: Path) -> None:
    path = tmp_path / "k8s-pod-network-c1-eth0"
    path.write_text(json.dumps(CACHED))
    (found,) = result_cache.read(tmp_path)
    assert (found.path, found.network, found.ipam_types) == (path, "k8s-pod-network", {"calico-ipam"})
    assert found.made == path.stat().st_mtime


@pytest.mark.parametrize("name", [None, 7, ["k8s-pod-network"], {}])
def test_an_attachment_whose_network_has_an_odd_name_counts(name: Any, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps({**CACHED, "networkName": name}))
    (found,) = result_cache.read(tmp_path)
    assert (found.network, found.ipam_types) == ("", {"calico-ipam"})


@pytest.mark.parametrize(
    "cached",
    [
        {},
        [],
        None,
        {"config": 7},
        {"config": "%"},
        {"config": "eyJ"},
        {**CACHED, "config": base64.b64encode(b"{").decode()},
    ],
)
def test_what_is_no_attachment_is_left_out(cached: Any, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps(cached))
    (tmp_path / "half").write_text(json.dumps(CACHED)[:100])
    (tmp_path / "folder").mkdir()
    assert list(result_cache.read(tmp_path)) == []
    assert list(result_cache.read(tmp_path / "missing")) == []
