"""All checks, in the order in which they are shown: what comes first on an address's way from the pod to the router."""

from cni.doctor.check import Check
from cni.doctor.checks import (
    calico_bgp,
    calico_blocks,
    calico_pools,
    node_agent,
    node_install,
    node_network,
)

CHECKS: tuple[Check, ...] = (
    *node_install.CHECKS,
    *node_agent.CHECKS,
    *node_network.CHECKS,
    *calico_pools.CHECKS,
    *calico_blocks.CHECKS,
    *calico_bgp.CHECKS,
)
