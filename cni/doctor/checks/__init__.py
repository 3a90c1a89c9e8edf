"""All checks, in the order in which they are shown: what comes first on an address's way from the pod to the router."""

from cni.doctor.check import Check
from cni.doctor.checks import (
    calico_bgp,
    calico_blocks,
    calico_pools,
    calico_workloads,
    node_agent,
    node_install,
    node_network,
    node_upkeep,
    spiderpool_addresses,
    spiderpool_annotations,
    spiderpool_coordinator,
    spiderpool_overlaps,
    spiderpool_parts,
    spiderpool_pools,
    spiderpool_settings,
)

CHECKS: tuple[Check, ...] = (
    *node_install.CHECKS,
    *node_agent.CHECKS,
    *node_network.CHECKS,
    *node_upkeep.CHECKS,
    *spiderpool_parts.CHECKS,
    *spiderpool_settings.CHECKS,
    *spiderpool_pools.CHECKS,
    *spiderpool_annotations.CHECKS,
    *spiderpool_overlaps.CHECKS,
    *spiderpool_addresses.CHECKS,
    *spiderpool_coordinator.CHECKS,
    *calico_pools.CHECKS,
    *calico_blocks.CHECKS,
    *calico_bgp.CHECKS,
    *calico_workloads.CHECKS,
)
