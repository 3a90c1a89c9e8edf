"""Write dashboard.json, the Grafana dashboard of a fleet; with --check write nothing, and fail if it differs.

It is kept in the repository, as generated contracts are: the chart takes it without the SDK that builds it, and a
change of it is seen in a review. Side effect: writes the file.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

FILE = Path(__file__).with_name("dashboard.json")

_SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
_NODES = '{instance=~"$instance"}'
_ADD = '{instance=~"$instance",command="ADD"}'


class Query(NamedTuple):
    """What a panel asks, and what it calls a series."""

    expr: str
    legend: str = ""


def _of(name: str, labels: str = _NODES) -> str:
    return f"spiderpool_ipam_{name}{labels}"


def _rate(name: str, labels: str = _NODES) -> str:
    return f"rate({_of(name, labels)}[$__rate_interval])"


def _quantiles(name: str) -> list[Query]:
    buckets = f"sum by (le) ({_rate(f'{name}_bucket', _ADD)})"
    shares = (("median", 0.5), ("90th percentile", 0.9), ("99th percentile", 0.99))
    return [Query(f"histogram_quantile({share}, {buckets})", legend) for legend, share in shares]


def _increase(name: str) -> str:
    return f"increase({_of(name)}[$__rate_interval])"


NUMBERS = (
    ("Nodes", "whose watch is asked", Query(f"count({_of('build_info')})")),
    (
        "Not in sync",
        "nodes whose plugin or conflist is not as it was installed",
        Query(f"sum(1 - {_of('in_sync')})"),
    ),
    ("Agents down", "nodes whose spiderpool-agent does not answer", Query(f"sum(1 - {_of('agent_up')})")),
    ("Pending releases", "that wait for an agent", Query(f"sum({_of('pending_releases')})")),
    (
        "Pods on another IPAM",
        "that got their address from it while others had changed a conflist, in this range of time",
        Query(f"sum(increase({_of('pods_on_other_ipam_total')}[$__range]))"),
    ),
    (
        "Oldest check",
        "of all nodes; watch makes one in each minute",
        Query(f"max(time() - {_of('last_check_timestamp_seconds')})"),
    ),
)
CALLS = (
    ("Calls", "cps", "each second, by command", [Query(f"sum by (command) ({_rate('calls_total')})", "{{command}}")]),
    (
        "Failing calls",
        "cps",
        "each second, by command and code: docs/reference/errors.md has the codes",
        [
            Query(
                "sum by (command, code) (" + _rate("calls_total", '{instance=~"$instance",code!="0"}') + ")",
                "{{command}}: {{code}}",
            )
        ],
    ),
    ("How long an ADD takes", "s", "the plugin's own part of it", _quantiles("call_duration_seconds")),
    (
        "How long an ADD waits for the agent",
        "s",
        "a part of the time beside it",
        _quantiles("agent_duration_seconds"),
    ),
)
UPKEEP = (
    (
        "Changes by others",
        "short",
        "of plugin and conflist, which were repaired",
        [Query(f"sum by (object, reason) ({_increase('drift_total')})", "{{object}} {{reason}}")],
    ),
    (
        "Nodes out of sync",
        "short",
        "1 while a node's plugin or conflist is not as it was installed",
        [Query(f"1 - {_of('in_sync')}", "{{instance}}")],
    ),
    ("Pending releases", "short", "by node", [Query(_of("pending_releases"), "{{instance}}")]),
    ("Releases", "short", "nodes by version", [Query(f"count by (version) ({_of('build_info')})", "{{version}}")]),
    (
        "Logs that are not read",
        "short",
        "nodes whose calls are not counted, or not all, by reason: docs/reference/metrics.md",
        [Query(f"sum by (reason) ({_of('log_unread')})", "{{reason}}")],
    ),
    (
        "Lines that are no calls",
        "cps",
        "each second, in the plugin's log: other programs' and damaged ones",
        [Query(f"sum({_rate('log_lines_skipped_total')})", "lines")],
    ),
)


def build() -> str:
    """Return the dashboard as JSON."""
    board = (
        dashboard.Dashboard("SpiderPool IPAM for Calico")
        .uid("spiderpool-ipam")
        .description("What the plugin's calls do, and what watch keeps on the nodes")
        .tags(["cni", "spiderpool-ipam"])
        .refresh("1m")
        .time("now-6h", "now")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("instance")
            .label("Node")
            .datasource(_SOURCE)
            .query("label_values(spiderpool_ipam_build_info, instance)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".+")
        )
        .with_row(dashboard.Row("Now").id(1))
    )
    for title, text, query in NUMBERS:
        unit = "s" if title == "Oldest check" else "short"
        board.with_panel(_number(title, text, unit, query))
    for number, (row, panels) in enumerate((("Calls", CALLS), ("Upkeep", UPKEEP)), 2):
        board.with_row(dashboard.Row(row).id(number))
        for title, unit, text, queries in panels:
            board.with_panel(_graph(title, text, unit, queries))
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _number(title: str, text: str, unit: str, query: Query) -> stat.Panel:
    target = prometheus.Dataquery().expr(query.expr).instant().ref_id("A")
    panel = stat.Panel().title(title).description(text).datasource(_SOURCE).unit(unit)
    panel.graph_mode(BigValueGraphMode.NONE)
    return panel.with_target(target).height(4).span(4)


def _graph(title: str, text: str, unit: str, queries: list[Query]) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).description(text).datasource(_SOURCE).unit(unit).min(0)
    for letter, query in zip("ABC", queries, strict=False):
        panel.with_target(prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter))
    return panel.height(8).span(12)


def main() -> None:
    """Write the dashboard, where it differs."""
    text = build()
    if FILE.exists() and FILE.read_text() == text:
        return
    if "--check" in sys.argv[1:]:
        sys.exit(f"{FILE} is not what dashboard.py says: run `make spec`")
    FILE.write_text(text)
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
