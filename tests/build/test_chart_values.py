"""The chart refuses values that are wrong, or that mean nothing together, and takes those that are unusual."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.build import chart, manifests
from tests.build.chart import VALUES, Object
from tests.requirements import ROOT

# Each option of `install` that the chart does not set itself. --dry-run and --json are for people.
INSTALL_OPTIONS = ["--set=log_level=debug", "--conf=10-calico.conflist", "--plugin-type=calico", "--wait-agent=20m"]
INSTALL_OPTIONS += ["--force", "--reset", "--image", "--no-image"]
PARTS_OF_METRICS = ("serviceMonitor", "alerts", "dashboard", "report")


def objects_of(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(values, dict):
        yield path
        for name, value in values.items():
            yield from objects_of(value, (*path, name))


FREE = {("nodeSelector",), ("metrics", "serviceMonitor", "labels"), ("metrics", "alerts", "labels")}
FREE |= {("metrics", "dashboard", "labels"), ("resources", "requests"), ("resources", "limits")}
FREE |= {("doctor", "resources", "requests"), ("doctor", "resources", "limits")}


@pytest.mark.parametrize("path", [one for one in objects_of(VALUES) if one not in FREE], ids=".".join)
def test_a_value_that_there_is_not_is_refused(path: tuple[str, ...]) -> None:
    validator = jsonschema_rs.validator_for(chart.SCHEMA)
    values = copy.deepcopy(VALUES)
    assert validator.is_valid(values)
    place = values
    for name in path:
        place = place[name]
    place["mistyped"] = 1
    assert not validator.is_valid(values)


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "inplace"},
        {"platform": "rke2"},
        {"mistyped": 1},
        {"updateStrategy": {"maxUnavailable": "0%"}},
        {"installOptions": ["log_level=debug"]},
        {"metrics": {"alerts": {"runbookPrefix": "https://git.example.org/x"}}},
        {"cniBinDir": "opt/cni/bin"},
        {"cniBinDir": "/opt/cni/bin/"},
        {"cniBinDir": "/opt/../cni"},
        {"cniConfDir": "/etc/cni: x/net.d"},
        {"cniConfDir": "/net.d"},  # its parent is the node's root
        {"copyName": "05: x.conflist"},
        {"copyName": "05 #x.conflist"},
        {"image": {"repository": "registry.example.org/spiderpool-ipam:0.1.0"}},
        {"image": {"repository": "registry.example.org:5000/"}},
        {"installOptions": ["--as=05.conflist"]},
        {"installOptions": ["--dry-run"]},
        {"installOptions": ["--host-root=/"]},
        {"metrics": {"serviceMonitor": {"interval": "1s1h"}}},
        {"metrics": {"serviceMonitor": {"interval": ""}}},
        {"updateStrategy": {"maxUnavailable": 5_000_000}},  # Helm would write 5e+06
    ],
    ids=str,
)
def test_helm_refuses_values_that_are_none(values: Object) -> None:
    done = chart.template(values)
    assert done.returncode
    assert "values don't meet the specifications of the schema" in done.stderr


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"repository": "localhost:5000/team/spiderpool_ipam"}},
        {"copyName": "05-spiderpool.conf"},
        {"cniConfDir": "/var/lib/.k0s+1/net.d"},
        {"metrics": {"serviceMonitor": {"interval": "1m30s"}}},
        {"updateStrategy": {"maxUnavailable": 5000}},
        {"installOptions": INSTALL_OPTIONS},
    ],
    ids=str,
)
def test_values_that_are_unusual_are_taken(values: Object) -> None:
    manifests.require_arguments(chart.pod_spec(values))


def test_the_schema_has_every_value_and_no_other() -> None:
    def names(schema: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        _, _, definition = schema.get("$ref", "").rpartition("/")
        for name, inside in chart.SCHEMA["definitions"].get(definition, schema).get("properties", {}).items():
            yield (*path, name)
            yield from names(inside, (*path, name))

    def present(values: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, value in values.items():
            yield (*path, name)
            if isinstance(value, dict) and (*path, name) not in FREE:
                yield from present(value, (*path, name))

    # Helm itself gives `global` to a chart that is part of another.
    found = {one for one in names(chart.SCHEMA) if one != ("global",)}
    found = {one for one in found if one[0] != "tolerations"} | {("tolerations",)}
    assert found == set(present(VALUES))


@pytest.mark.parametrize("name", ["nodeSelector", "tolerations", "resources"])
def test_what_is_optional_may_be_left_out_with_null(name: str) -> None:
    values = {name: None, "doctor": {name: None} if name == "resources" else {}}
    pod = chart.of_kind(chart.render(values), "Pod", "spiderpool-ipam-doctor")["spec"]
    for spec in (chart.pod_spec(values), pod):
        assert all(name not in place for place in [spec, *manifests.containers(spec)])


@pytest.mark.parametrize(
    "path",
    [["metrics", name] for name in PARTS_OF_METRICS]
    + [["mode"], ["platform"], ["image"], ["image", "tag"], ["updateStrategy"], ["metrics"], ["doctor"]],
    ids=".".join,
)
def test_what_is_needed_may_not_be_left_out_with_null(path: list[str]) -> None:
    values: Any = None
    for name in reversed(path):
        values = {name: values}
    assert f"missing property '{path[-1]}'" in chart.template(values).stderr


def test_reports_that_no_account_could_get_are_refused() -> None:
    values = {"metrics": {"enabled": True, "report": {"enabled": True}}, "doctor": {"enabled": False}}
    assert "metrics.report.enabled needs doctor.enabled" in chart.template(values).stderr
    assert chart.render({**values, "mode": "uninstall"})


@pytest.mark.parametrize(
    ("metrics", "said"),
    [({name: {"enabled": True}}, f"metrics.{name}.enabled needs metrics.enabled") for name in PARTS_OF_METRICS]
    + [({"enabled": True, "report": {"pods": True}}, "metrics.report.pods needs metrics.report.enabled")],
    ids=str,
)
def test_what_would_be_left_out_is_refused_and_not_forgotten(metrics: Object, said: str) -> None:
    done = chart.template({"metrics": metrics})
    assert done.returncode
    assert said in done.stderr
    assert chart.render({"metrics": metrics, "mode": "uninstall"})


def test_the_values_that_the_page_gives_are_taken() -> None:
    page = (ROOT / "docs/chart.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]
    assert len(blocks) == 4
    for values in blocks:
        manifests.require_arguments(chart.pod_spec(values))
    assert chart.pod_spec(blocks[1])["nodeSelector"] == {"kubernetes.io/os": "linux", "spiderpool-ipam": "canary"}
