"""SpiderIPPool manifests: what is read of them, and that wrong ones are refused naming file and field."""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from cni.agent.pools import Pool, PoolError, read_pools
from cni.agent.ranges import count
from tests.agent.agent_process import pool, write_pools

# As the guide shows it, printed by kubectl.
GUIDE = """
apiVersion: spiderpool.spidernet.io/v1
kind: SpiderIPPool
metadata:
  creationTimestamp: "2023-03-15T02:12:00Z"
  finalizers: [spiderpool.spidernet.io]
  name: default-ipv4-ippool
spec:
  default: false
  disable: false
  ipVersion: 4
  ips:
  - 10.244.100.10-10.244.100.200
  subnet: 10.244.0.0/16
  vlan: 0
status:
  allocatedIPCount: 2
  totalIPCount: 191
"""


def _read(*paths: Path) -> tuple[list[Pool], list[str]]:
    warnings: list[str] = []
    return read_pools(paths, warnings.append), warnings


def _refusal(*paths: Path) -> str:
    with pytest.raises(PoolError) as error:
        _read(*paths)
    assert "\n" not in str(error.value)
    return str(error.value)


def _texts(pool: Pool) -> list[str]:
    return [f"{_text(pool, first)}-{_text(pool, last)}" for first, last in pool.ranges]


def _text(pool: Pool, number: int) -> str:
    return str(pool.subnet.network_address + (number - int(pool.subnet.network_address)))


def test_the_guides_manifest_is_read_without_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "guide.yaml"
    file.write_text(GUIDE)
    (read,), warnings = _read(file)
    assert warnings == []
    assert (read.name, read.version, read.default, read.disabled) == ("default-ipv4-ippool", 4, False, False)
    assert count(read.ranges) == 191


def test_every_field_is_read(tmp_path: Path) -> None:
    routes = [{"dst": "fd00:1::7/64", "gw": "FD00:244::2"}]
    spec: dict[str, Any] = {"ipVersion": 6, "gateway": "fd00:244:0::1", "vlan": 4094, "default": True, "disable": True}
    manifest = pool("six", "fd00:244::10", subnet="fd00:244::/64", routes=routes, **spec)
    (read,), _ = _read(write_pools(tmp_path / "p.yaml", manifest))
    assert (read.version, read.gateway, read.vlan, read.default, read.disabled) == (6, "fd00:244::1", 4094, True, True)
    assert read.routes == [{"dst": "fd00:1::/64", "gw": "fd00:244::2"}]


def test_ips_may_be_addresses_and_ranges_that_overlap_and_excluded_ones_are_left_out(tmp_path: Path) -> None:
    ips = ["10.244.0.9", "10.244.0.1-10.244.0.4", "10.244.0.3-10.244.0.6"]
    manifest = pool("a", *ips, excludeIPs=["10.244.0.2-10.244.0.3", "10.244.0.9"])
    (read,), _ = _read(write_pools(tmp_path / "p.yaml", manifest))
    assert _texts(read) == ["10.244.0.1-10.244.0.1", "10.244.0.4-10.244.0.6"]


def test_network_and_broadcast_address_are_handed_out_when_listed_as_upstream_does(tmp_path: Path) -> None:
    manifest = pool("a", "10.0.0.0-10.0.0.255", subnet="10.0.0.0/24")
    (read,), _ = _read(write_pools(tmp_path / "p.yaml", manifest))
    assert count(read.ranges) == 256


def test_a_gateway_inside_ips_is_accepted_when_excluded(tmp_path: Path) -> None:
    manifest = pool("a", "10.244.0.1-10.244.0.9", gateway="10.244.0.1", excludeIPs=["10.244.0.1"])
    (read,), _ = _read(write_pools(tmp_path / "p.yaml", manifest))
    assert count(read.ranges) == 8


def test_a_pool_without_addresses_is_legal(tmp_path: Path) -> None:
    manifest = pool("a")
    del manifest["spec"]["ips"]
    (read,), _ = _read(write_pools(tmp_path / "p.yaml", manifest))
    assert read.ranges == []


def test_a_pool_of_2_to_the_64_addresses_is_counted_without_enumeration(tmp_path: Path) -> None:
    manifest = pool("a", "fd00::-fd00::ffff:ffff:ffff:ffff", subnet="fd00::/64")
    (read,), _ = _read(write_pools(tmp_path / "p.yaml", manifest))
    assert count(read.ranges) == 2**64
    assert ip_address(read.ranges[0][0]) == ip_address("fd00::")


def test_a_folder_is_read_in_name_order_and_other_files_in_it_are_not(tmp_path: Path) -> None:
    write_pools(tmp_path / "b.yml", pool("b", "10.244.0.2"))
    write_pools(tmp_path / "a.yaml", pool("a", "10.244.0.1"))
    write_pools(tmp_path / "c.json", pool("c", "10.244.0.3"))
    (tmp_path / "README").write_text("{")
    assert [read.name for read in _read(tmp_path)[0]] == ["a", "b", "c"]


def test_several_documents_in_a_file_are_several_pools_and_empty_ones_are_skipped(tmp_path: Path) -> None:
    file = write_pools(tmp_path / "p.yaml", pool("a", "10.244.0.1"), pool("b", "10.244.0.2"))
    file.write_text("---\n" + file.read_text() + "\n---\n")
    assert [read.name for read in _read(file)[0]] == ["a", "b"]


def test_unknown_fields_are_warned_about_and_ignored(tmp_path: Path) -> None:
    manifest = {**pool("a", "10.244.0.1", podAffinity={"matchLabels": {}}, multusName=[]), "extra": 1}
    _, warnings = _read(write_pools(tmp_path / "p.yaml", manifest))
    assert warnings == [
        f"{tmp_path}/p.yaml: {field}: unknown field, ignored"
        for field in ("extra", "spec.multusName", "spec.podAffinity")
    ]


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.subnet", {"subnet": "10.244.0.0"}),
        ("spec.subnet", {"subnet": "10.244.0.0/255.255.0.0"}),
        ("spec.subnet", {"subnet": "nonsense"}),
        ("spec.subnet", {"subnet": 10}),
        ("spec.subnet", {"ipVersion": 6}),
        ("spec.ipVersion", {"ipVersion": 5}),
        ("spec.ipVersion", {"ipVersion": "4"}),
        ("spec.ips", {"ips": "10.244.0.1"}),
        ("spec.ips[1]", {"ips": ["10.244.0.1", "10.244.0.999"]}),
        ("spec.ips[0]", {"ips": ["10.245.0.1"]}),
        ("spec.ips[0]", {"ips": ["10.244.255.250-10.245.0.1"]}),
        ("spec.ips[0]", {"ips": ["10.244.0.9-10.244.0.1"]}),
        ("spec.ips[0]", {"ips": ["10.244.0.1-"]}),
        ("spec.ips[0]", {"ips": ["10.244.0.0/24"]}),
        ("spec.ips[0]", {"ips": ["fd00::1"]}),
        ("spec.ips[0]", {"ips": [4]}),
        ("spec.excludeIPs[0]", {"excludeIPs": ["10.245.0.1"]}),
        ("spec.gateway", {"gateway": "10.245.0.1"}),
        ("spec.gateway", {"gateway": ""}),
        ("spec.gateway", {"gateway": "10.244.0.1/16"}),
        ("spec.ips", {"gateway": "10.244.0.1"}),
        ("spec.routes[0].gw", {"routes": [{"dst": "10.0.0.0/8"}]}),
        ("spec.routes[0].gw", {"routes": [{"dst": "10.0.0.0/8", "gw": "10.245.0.1"}]}),
        ("spec.routes[0].dst", {"routes": [{"dst": "10.0.0.1", "gw": "10.244.0.2"}]}),
        ("spec.routes[0].dst", {"routes": [{"dst": "fd00::/8", "gw": "10.244.0.2"}]}),
        ("spec.routes[0].dst", {"routes": [{"dst": "0.0.0.0/0", "gw": "10.244.0.2"}]}),
        ("spec.routes[1].dst", {"routes": [{"dst": "10.0.0.0/8", "gw": "10.244.0.2"}] * 2}),
        ("spec.vlan", {"vlan": 4095}),
        ("spec.vlan", {"vlan": "7"}),
        ("spec.default", {"default": "true"}),
        ("spec.disable", {"disable": 1}),
    ],
)
def test_a_wrong_field_is_refused_naming_file_and_field(tmp_path: Path, field: str, spec: dict[str, Any]) -> None:
    manifest = pool("a", "10.244.0.1-10.244.0.9")
    manifest["spec"] |= spec
    assert _refusal(write_pools(tmp_path / "p.yaml", manifest)).startswith(f"{tmp_path}/p.yaml: {field}: ")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("apiVersion", {"apiVersion": "v1"}),
        ("kind", {"kind": "IPPool"}),
        ("metadata.name", {"metadata": {}}),
        ("metadata.name", {"metadata": {"name": ""}}),
        ("metadata.name", {"metadata": {"name": 7}}),
        ("spec", {"spec": None}),
        ("spec.subnet", {"spec": {}}),
    ],
)
def test_what_is_no_manifest_is_refused_naming_file_and_field(
    tmp_path: Path, field: str, change: dict[str, Any]
) -> None:
    file = write_pools(tmp_path / "p.yaml", {**pool("a", "10.244.0.1"), **change})
    assert _refusal(file).startswith(f"{tmp_path}/p.yaml: {field}: ")


def test_of_several_documents_the_wrong_one_is_named(tmp_path: Path) -> None:
    file = write_pools(tmp_path / "p.yaml", pool("a", "10.244.0.1"), pool("b", "x"))
    assert _refusal(file).startswith(f"{tmp_path}/p.yaml: document 2: spec.ips[0]: ")


@pytest.mark.parametrize("text", ["a: [", "\tx", "%", "a: b: c", "\x00", "- 1", "text"])
def test_a_file_that_holds_something_else_is_refused_naming_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    assert _refusal(tmp_path / "p.yaml").startswith(f"{tmp_path}/p.yaml: ")


def test_a_missing_file_and_an_empty_folder_are_refused_naming_them(tmp_path: Path) -> None:
    assert _refusal(tmp_path / "none.yaml") == f"{tmp_path}/none.yaml: No such file or directory"
    assert _refusal(tmp_path) == f"{tmp_path}: no SpiderIPPool in it"


def test_pools_that_hand_out_the_same_address_are_refused_naming_both(tmp_path: Path) -> None:
    first = write_pools(tmp_path / "1.yaml", pool("a", "10.244.0.1-10.244.0.9"))
    second = write_pools(tmp_path / "2.yaml", pool("b", "10.244.0.7-10.244.0.20"))
    assert _refusal(first, second) == (
        f"{second}: spec.ips: 10.244.0.7-10.244.0.9 is handed out by pool a ({first}), too"
    )


def test_pools_share_a_subnet_when_their_addresses_differ(tmp_path: Path) -> None:
    ranges = pool("a", "10.244.0.1-10.244.0.9", excludeIPs=["10.244.0.7-10.244.0.9"]), pool("b", "10.244.0.7")
    assert len(_read(write_pools(tmp_path / "p.yaml", *ranges))[0]) == 2


def test_pools_of_different_subnets_that_overlap_are_refused(tmp_path: Path) -> None:
    narrow = pool("b", "10.244.7.1", subnet="10.244.7.0/24")
    file = write_pools(tmp_path / "p.yaml", pool("a", "10.244.0.1"), narrow)
    assert _refusal(file) == (
        f"{file}: document 2: spec.subnet: 10.244.7.0/24 overlaps 10.244.0.0/16 of pool a ({file})"
    )


def test_two_pools_of_one_name_are_refused(tmp_path: Path) -> None:
    file = write_pools(tmp_path / "p.yaml", pool("a", "10.244.0.1"), pool("a", "10.244.0.2"))
    assert _refusal(file).startswith(f"{file}: document 2: metadata.name: ")


def test_host_bits_are_masked_with_a_warning(tmp_path: Path) -> None:
    routes = [{"dst": "10.1.2.3/8", "gw": "10.244.0.2"}, {"dst": "172.16.0.0/12", "gw": "10.244.0.2"}]
    four = pool("a", "10.244.0.9", subnet="10.244.0.1/16", gateway="10.244.0.1", routes=routes)
    six = pool("b", "fd00::9", subnet="FD00:0::1/64")
    file = write_pools(tmp_path / "p.yaml", four, six, pool("c", "fd01::9", subnet="FD01:0::/64"))
    read, warnings = _read(file)
    assert [str(one.subnet) for one in read] == ["10.244.0.0/16", "fd00::/64", "fd01::/64"]
    assert [route["dst"] for route in read[0].routes] == ["10.0.0.0/8", "172.16.0.0/12"]
    assert warnings == [
        f"{file}: document 1: spec.subnet: 10.244.0.1/16 has host bits, 10.244.0.0/16 is taken",
        f"{file}: document 1: spec.routes[0].dst: 10.1.2.3/8 has host bits, 10.0.0.0/8 is taken",
        f"{file}: document 2: spec.subnet: FD00:0::1/64 has host bits, fd00::/64 is taken",
    ]


def test_subnets_that_are_one_when_masked_are_one(tmp_path: Path) -> None:
    manifests = pool("a", "10.244.0.7", subnet="10.244.0.1/16"), pool("b", "10.244.0.7", subnet="10.244.0.0/16")
    assert "spec.ips: 10.244.0.7 is handed out by pool a" in _refusal(write_pools(tmp_path / "p.yaml", *manifests))


OTHERS: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "spiderpool"}},
    {"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "spec": {"cidr": "10.244.0.0/16"}},
    {"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderMultusConfig", "metadata": {"name": "x"}},
    {"apiVersion": "v1", "kind": "ConfigMapList", "items": []},
]


def test_what_is_beside_the_pools_in_a_file_is_left_out_with_a_warning(tmp_path: Path) -> None:
    reserved = {"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderReservedIP", "spec": {"ips": []}}
    file = write_pools(tmp_path / "p.yaml", *OTHERS, pool("a", "10.244.0.1"), reserved)
    read, warnings = _read(file)
    assert [one.name for one in read] == ["a"]
    assert warnings == [
        f"{file}: document 1: Namespace (v1) is not read",
        f"{file}: document 2: IPPool (crd.projectcalico.org/v1) is not read",
        f"{file}: document 3: SpiderMultusConfig (spiderpool.spidernet.io/v2beta1) is not read",
        f"{file}: document 4: ConfigMapList (v1) is not read",
        f"{file}: document 6: SpiderReservedIP (spiderpool.spidernet.io/v2beta1) is not read: exclude its addresses"
        " with spec.excludeIPs",
    ]
    assert _refusal(write_pools(file, *OTHERS)) == f"{file}: no SpiderIPPool in it"


@pytest.mark.parametrize("kind", ["IPPool", "SpiderIpPool", "spiderippool", "SpiderIPPools"])
def test_a_misspelt_kind_is_not_taken_for_another_one(tmp_path: Path, kind: str) -> None:
    file = write_pools(tmp_path / "p.yaml", {**pool("a", "10.244.0.1"), "kind": kind}, pool("b", "10.244.0.2"))
    assert _refusal(file).startswith(f"{file}: document 1: kind: ")


def test_the_items_of_a_list_are_read(tmp_path: Path) -> None:
    items = [pool("a", "10.244.0.1"), OTHERS[0], pool("b", "10.244.0.2")]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    bare = pool("c", "10.244.0.3")
    version = bare.pop("apiVersion")
    del bare["kind"]
    typed = {"apiVersion": version, "kind": "SpiderIPPoolList", "metadata": {"resourceVersion": "7"}, "items": [bare]}
    file = write_pools(tmp_path / "p.yaml", listed, typed, pool("d", "10.244.0.4"))
    read, warnings = _read(file)
    assert [one.name for one in read] == ["a", "b", "c", "d"]
    assert warnings == [f"{file}: document 1: items[1]: Namespace (v1) is not read"]
    empty = write_pools(tmp_path / "e.yaml", {**listed, "items": []}, {"apiVersion": "v1", "kind": "List"})
    assert _refusal(empty) == f"{empty}: no SpiderIPPool in it"


def test_what_is_wrong_in_a_list_is_named_by_its_item(tmp_path: Path) -> None:
    listed: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": [pool("a", "10.244.0.1"), pool("b", "x")]}
    file = write_pools(tmp_path / "p.yaml", listed)
    assert _refusal(file).startswith(f"{file}: items[1]: spec.ips[0]: ")
    assert _refusal(write_pools(file, {**listed, "items": 7})) == f"{file}: items: is no list"
    assert _refusal(write_pools(file, {**listed, "items": [listed]})) == f"{file}: items[0]: is a list in a list"
    assert _refusal(write_pools(file, {**listed, "items": [None]})).startswith(f"{file}: items[0]: ")
    file.write_text("&a {apiVersion: v1, kind: List, items: [*a]}")
    assert _refusal(file) == f"{file}: items[0]: is a list in a list"


def test_a_file_that_is_none_is_named_as_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.yaml")
    assert _refusal(tmp_path).startswith(f"{tmp_path}/p.yaml: it is a pipe, and was not written to its end")
    (tmp_path / "p.yaml").unlink()
    (tmp_path / "p.yaml").mkdir()
    assert _refusal(tmp_path) == f"{tmp_path}/p.yaml: it is a folder, not a file"
    assert _refusal(Path("/dev/zero")) == "/dev/zero: it is a device, not a file"
