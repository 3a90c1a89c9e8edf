"""Reads what FRR says, out of a file that an operator has made. Side effect: reads it, or stdin.

    vtysh -c 'show bgp summary json' -c 'show ip route bgp json' -c 'show ipv6 route bgp json' > FILE

So a file holds several JSON documents, one after the other. They are told apart by what is in them.
"""

import ipaddress
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cni import input_file
from cni.contracts.route_facts import Router
from cni.doctor.facts import unknown
from cni.installer.node.os_errors import one_line

_DOCUMENTS = 20


def read(name: str) -> Any:
    """Return the fact: what the file holds, or why it is not known."""
    try:
        text = sys.stdin.read(input_file.MOST_BYTES) if name == "-" else input_file.read(Path(name)).decode()
        found = parse(text)
    except OSError as error:
        return unknown(one_line(error))
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError, OverflowError) as error:
        return unknown(f"{name}: not what FRR prints as JSON: {type(error).__name__}")
    if found == {"neighbors": {}, "routes": {}}:  # vtysh that has failed prints nothing
        return unknown(f"{name}: there are neither neighbours nor routes in it")
    return found


def parse(text: str) -> Router:
    """Return the neighbours and routes of the documents. ValueError and others: it is something else."""
    found: Router = {"neighbors": {}, "routes": {}}
    for document in _documents(text):
        for summary in [document, *(value for value in document.values() if isinstance(value, dict))]:
            if "peers" in summary and "as" in summary:
                found["as_number"] = int(summary["as"])
            for address, peer in (summary.get("peers") or {}).items():
                found["neighbors"][address] = {
                    "state": str(peer.get("state", "")),
                    "peer_state": str(peer.get("peerState", "")),
                    "prefixes_received": int(peer.get("pfxRcd", 0)),
                }
        for prefix, routes in document.items():
            if isinstance(routes, list) and _is_network(prefix):
                hops = [hop for route in routes for hop in route.get("nexthops") or [] if "ip" in hop]
                found["routes"][prefix] = sorted({str(hop["ip"]) for hop in hops})
    return found


def _is_network(text: str) -> bool:
    try:
        return bool(ipaddress.ip_network(text))
    except ValueError:
        return False


def _documents(text: str) -> Iterator[dict[str, Any]]:
    decoder, place = json.JSONDecoder(), 0
    for _ in range(_DOCUMENTS):
        place += len(text[place:]) - len(text[place:].lstrip())
        if place == len(text):
            return
        document, place = decoder.raw_decode(text, place)
        yield dict(document)
