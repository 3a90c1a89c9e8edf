"""The alerts and the dashboard: each is tried on what watch really serves, and leads to a page that is there."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cni import errors
from tests import requirements
from tests.build.monitoring import ROOT, RULES, Prometheus, prometheus
from tests.installer.real_calls import serving
from tests.installer.sample_node import Node
from tests.test_documents import LINK, anchors
from tests.waiting import wait_for

TESTS = Path(__file__).with_name("alerts.yaml")
DASHBOARD = ROOT / "build/monitoring/dashboard.json"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
PANELS = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
BY_CODE = "docs/troubleshooting.md#by-error-code"
# What Grafana puts in the place of its variables.
VARIABLES = {"$instance": ".+", "$__rate_interval": "1m", "$__range": "6h"}


@contextmanager
def scraped(node: Node, folder: Path) -> Iterator[Prometheus]:
    """Give a Prometheus that has scraped the watch of a node on which there were calls and a drift."""
    node.install()
    with serving(node) as served, prometheus(folder, f"127.0.0.1:{served.port}") as server:
        served.follows("missing")
        served.make_calls(20)
        node.write()
        wait_for(lambda: sum(served.calls().values()) >= 20, "the calls to be counted")
        wait_for(lambda: adds(server) > 0, "the first calls to be scraped")
        served.make_calls(20)
        # A rate needs two scrapes: before the last calls, and after them.
        wait_for(lambda: adds(server) == 20, "the last calls to be scraped")
        yield server


def adds(server: Prometheus) -> float:
    found = server.query('sum(spiderpool_ipam_calls_total{command="ADD"})')
    return float(found[0]["value"][1]) if found else 0


def test_a_real_prometheus_has_what_dashboard_and_alerts_ask_for_and_no_alert_of_a_node_that_is_well(
    tmp_path: Path,
) -> None:
    requirements.need_frozen("spiderpool")
    requirements.need_root()
    requirements.need_tool("prometheus")
    with scraped(Node(tmp_path / "node"), tmp_path) as server:
        assert [title for title, expr in QUERIES if not has_series(server, expr)] == []
        metric, label = variable()
        assert server.get(f"/label/{label}/values", **{"match[]": metric})[0].startswith("127.0.0.1:")
        texts = [*[rule["expr"] for rule in ALERTS], *[expr for _, expr in QUERIES]]
        asked = {name for text in texts for name in re.findall(r"spiderpool_ipam_\w+", text)}
        assert asked <= set(server.get("/label/__name__/values"))
        groups = server.get("/rules")["groups"]
        assert [rule["name"] for group in groups for rule in group["rules"]] == [rule["alert"] for rule in ALERTS]
        assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}
        # There is no agent on the socket that the conflist names.
        assert {one["labels"]["alertname"] for one in server.get("/alerts")["alerts"]} <= {"SpiderpoolIpamAgentDown"}


def has_series(server: Prometheus, expr: str) -> bool:
    """Tell whether a query has series, and a number in each."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr
    found = server.query(expr)
    return bool(found) and "NaN" not in {series["value"][1] for series in found}


def variable() -> list[str]:
    """Return the metric and the label by which the dashboard finds the nodes."""
    (found,) = [one for one in json.loads(DASHBOARD.read_text())["templating"]["list"] if one["name"] == "instance"]
    return re.findall(r"\w+", found["query"].removeprefix("label_values"))


def test_promtool_accepts_the_alerts_and_each_fires_when_it_should() -> None:
    promtool = requirements.need_tool("promtool")
    for command in (["check", "rules", "--lint=all", "--lint-fatal", str(RULES)], ["test", "rules", str(TESTS)]):
        done = subprocess.run([str(promtool), *command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tried_where_it_fires_and_where_it_does_not() -> None:
    tried = [one for test in yaml.safe_load(TESTS.read_text())["tests"] for one in test["alert_rule_test"]]
    wanted = {rule["alert"] for rule in ALERTS}
    assert {one["alertname"] for one in tried if one["exp_alerts"]} == wanted
    assert {one["alertname"] for one in tried if not one["exp_alerts"]} == wanted


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_each_alert_leads_to_sections_that_are_there(rule: dict[str, Any]) -> None:
    texts = rule["annotations"]
    links = re.findall(r"(docs/[\w/.-]+\.md)#([\w-]+)", texts["runbook_url"])
    assert links
    for page, anchor in [*links, *re.findall(r"(docs/[\w/.-]+\.md)#([\w-]+)", texts["description"])]:
        assert anchor in anchors(ROOT / page), f"{page}#{anchor}"


def test_failing_adds_lead_where_the_table_of_error_codes_does(tmp_path: Path) -> None:
    """To the first link of the code's row, or to the table where the row has none."""
    codes = sorted(value for value in vars(errors).values() if isinstance(value, int))
    found = links_by_code()
    assert {str(code) for code in codes} == found.keys()
    (rule,) = [one for one in ALERTS if one["alert"] == "SpiderpoolIpamAddsFail"]
    description = rule["annotations"]["description"].replace('{{ $value | printf "%.0f" }}', "10")
    labels = {"command": "ADD", "instance": "n"}
    series, alerts = [], []
    for code, link in (found | {"other": BY_CODE}).items():
        named = ",".join(f'{name}="{value}"' for name, value in (labels | {"code": code}).items())
        series.append({"series": f"spiderpool_ipam_calls_total{{{named}}}", "values": "0+1x30"})
        texts = {"summary": f"On n, pods get no address (code {code})", "description": description, "runbook_url": link}
        alerts.append({"exp_labels": labels | rule["labels"] | {"code": code}, "exp_annotations": texts})
    tried = {"alertname": rule["alert"], "eval_time": "25m", "exp_alerts": alerts}
    test = {"interval": "1m", "input_series": series, "alert_rule_test": [tried]}
    (tmp_path / "codes.yaml").write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}))
    command = [str(requirements.need_tool("promtool")), "test", "rules", str(tmp_path / "codes.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def links_by_code() -> dict[str, str]:
    """Return the links of docs/troubleshooting.md by error code, from the folder that docs/ is in."""
    page, _, anchor = BY_CODE.partition("#")
    section = (ROOT / page).read_text().partition("\n## By error code\n")[2].partition("\n## ")[0]
    assert anchor in anchors(ROOT / page)
    found: dict[str, str] = {}
    for codes, cells in re.findall(r"^\| (\d[\d, ]*) \|(.*)$", section, re.MULTILINE):
        link = next(iter(LINK.findall(cells)), f"#{anchor}")
        place = page + link if link.startswith("#") else f"docs/{link}"
        found |= dict.fromkeys(codes.split(", "), place)
    return found
