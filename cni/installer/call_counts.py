"""What the plugin's log tells of its calls, as counters and histograms. Pure, but for the counts."""

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram
from pydantic import TypeAdapter, ValidationError

from cni import errors
from cni.contracts.log import CountedCall

COMMANDS = ("ADD", "DEL", "CHECK", "STATUS", "GC")
CODES = sorted(value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int))
OTHER = "other"  # the label of a command or code that this release does not know: a log must not make series at will

# Seconds. docs/design/benchmarks.md has most of these figures; the log has whole milliseconds, rounded down.
BUCKETS = (
    *(0.002, 0.005),  # an ADD from the image: 2.9 ms in the median, 3.5 in the 99th percentile
    *(0.01, 0.025),  # an ADD without the image: 7 ms; the answer of a real agent: 5 ms in the median
    *(0.05, 0.1, 0.25),  # eight at a time and more: a real agent answers some 50 in a second
    *(0.5, 1.0),  # above 0.3 s the plugin takes longer than all that Calico does for a pod
    # Calls that run into a limit are above its bucket: STATUS, and a connection of DEL (2 s), ADD and CHECK without an
    # agent (3 s), DEL (30 s), request_timeout (100 s, if nobody sets it).
    *(2.0, 3.0, 10.0, 30.0, 100.0),
)

_LINE = TypeAdapter(CountedCall)

# A series for the time at which each of the others was made would double their number, and nobody asks for it.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class CallCounts:
    """The calls since watch started."""

    def __init__(self) -> None:
        self._calls = Counter(
            "spiderpool_ipam_calls",
            "Calls of the plugin, by CNI_COMMAND and by the code of its error; 0: it succeeded",
            ["command", "code"],
            registry=None,
        )
        self._seconds = Histogram(
            "spiderpool_ipam_call_duration_seconds",
            "How long calls of the plugin took",
            ["command"],
            registry=None,
            buckets=BUCKETS,
        )
        self._agent_seconds = Histogram(
            "spiderpool_ipam_agent_duration_seconds",
            "How long calls of the plugin waited for the spiderpool-agent, or looked after pending releases",
            ["command"],
            registry=None,
            buckets=BUCKETS,
        )
        self._skipped = Counter(
            "spiderpool_ipam_log_lines_skipped",
            "Lines of the plugin's log that tell of no call: those of other programs, damaged or too long ones",
            registry=None,
        )
        # Prometheus sees no increase in a series that begins with 1. So what alerts ask for begins with 0.
        for code in (0, *CODES):
            self._calls.labels("ADD", code)
        for command in COMMANDS:
            self._calls.labels(command, 0)

    def register(self, registry: CollectorRegistry) -> None:
        """Have a registry collect them."""
        for collector in (self._calls, self._seconds, self._agent_seconds, self._skipped):
            registry.register(collector)

    def add(self, line: bytes) -> None:
        """Count a line of the log."""
        try:
            call = _LINE.validate_json(line, strict=True)
        except ValidationError:
            self._skipped.inc()
            return
        command = call["command"] if call["command"] in COMMANDS else OTHER
        code = call["code"] if not call["code"] or call["code"] in CODES else OTHER
        self._calls.labels(command, code).inc()
        self._seconds.labels(command).observe(call["ms"] / 1000)
        self._agent_seconds.labels(command).observe(call["agent_ms"] / 1000)
