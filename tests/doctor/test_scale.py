"""doctor on a large cluster: 5,000 nodes and 50,000 pods, in pages, over a real HTTPS server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.api_server import ApiServer, Certificates, Handler, Seen
from tests.doctor.documents import CLUSTER, calico_node, node_pod, spider_pool
from tests.doctor.kubeconfigs import config, write
from tests.doctor.test_cluster import PATHS
from tests.requirements import ROOT

NOT_READ = ["bgp-router-view"]  # what the router says
NODES, PODS = 5_000, 50_000
SECONDS, MEGABYTES = 60, 500
# What kubelets and controllers add, and doctor drops: a pod of a real cluster has some 4 KB.
_REST = {"managedFields": [{"manager": "kubelet", "fieldsV1": {f"f:member-{number}": {} for number in range(110)}}]}


def node(number: int) -> Any:
    made = calico_node(f"node-{number}", 0)
    address = f"172.20.{number // 250}.{number % 250 + 1}"
    made["metadata"]["annotations"]["projectcalico.org/IPv4Address"] = f"{address}/12"
    return made


def pod(number: int) -> Any:
    return {
        "metadata": {
            "name": f"pod-{number}",
            "namespace": "default",
            "uid": str(number),
            "labels": {"app": "x"},
            "annotations": {"ipam.spidernet.io/ippool": '{"ipv4": ["v4"]}'},
        },
        "spec": {"nodeName": f"node-{number % NODES}"},
        "status": {"phase": "Running", "podIPs": [{"ip": f"10.244.{number // 250}.{number % 250}"}]},
    }


def paged(number: int, make: Callable[[int], Any]) -> Handler:
    """Serve so many objects, each made when it is asked for, as a real one would be in size."""

    def answer(seen: Seen) -> Any:
        start, limit = int(seen.query.get("continue", 0)), int(seen.query["limit"])
        items = [make(one) for one in range(start, min(start + limit, number))]
        items = [{**one, "metadata": {**one["metadata"], **_REST}} for one in items]
        more = {"continue": str(start + limit)} if start + limit < number else {}
        return (
            200,
            {},
            {"metadata": more, "items": items},
        )

    return answer


@pytest.mark.slow
def test_a_large_cluster_is_read_and_checked_in_bounded_time_and_memory(
    tmp_path: Path, api: ApiServer, certificates: Certificates, show: Callable[[str], None]
) -> None:
    for name, path in PATHS.items():
        api.serve(path, *CLUSTER.get(name, []))
    api.answers[PATHS["nodes"]] = paged(NODES, node)
    api.answers[PATHS["pods"]] = paged(PODS, pod)
    api.answers[PATHS["agent_pods"]] = paged(NODES, lambda number: node_pod(f"agent-{number}", f"node-{number}"))
    api.answers[PATHS["own_pods"]] = paged(NODES, lambda number: node_pod(f"ours-{number}", f"node-{number}"))
    api.answers[PATHS["calico_pods"]] = paged(NODES, lambda number: node_pod(f"calico-{number}", f"node-{number}"))
    api.serve(PATHS["spider_ip_pools"], spider_pool("v4", "10.244.0.0/16", "10.244.0.0-10.244.200.1"))
    kubeconfig = write(tmp_path / "k", config(api, certificates))
    options = ["--cluster-only", "--kubeconfig", str(kubeconfig), "--bundle", str(tmp_path / "b.tar.gz"), "--json"]
    started = time.monotonic()
    command = [sys.executable, "-m", "cni.cli", "doctor", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as run:
        assert run.stdout
        made = json.loads(run.stdout.read())
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    took, peak, size = time.monotonic() - started, usage.ru_maxrss / 1024, (tmp_path / "b.tar.gz").stat().st_size
    show(
        f"doctor on {NODES} nodes and {PODS} pods: {took:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of CPU,"
        f" peak {peak:.0f} MB, bundle {size / 1e6:.1f} MB"
    )
    assert run.returncode == 0, made
    not_checked = [check["id"] for check in made["checks"] if check["result"] == "not-checked"]
    assert not_checked == NOT_READ
    assert peak < MEGABYTES
    assert usage.ru_utime + usage.ru_stime < SECONDS
