"""What the checks of watch have come to, for readiness and metrics. Pure."""

from collections import Counter
from typing import NamedTuple

from cni.installer.conflict import Object, Reason


class State(NamedTuple):
    """The result of the checks since the program started."""

    fault: str = "not checked yet"  # "" where plugin and conflist are in sync
    drift: Counter[tuple[Object, Reason]] = Counter()  # noqa: RUF012  (never changed)
    pods_on_other_ipam: int = 0  # that got their address from another IPAM during drift, as libcni's cache tells
    last_check: float = 0.0  # Unix seconds
