"""`spiderpool-ipam detect`: what the plugin runs, not people, so `--help` does not list it."""

import json
import select
import sys

import click

from cni.detection.probe import detect as probe
from cni.errors import CNIError


@click.command(hidden=True)
def detect() -> None:
    """Probe the addresses that stdin names, as the plugin does where the agent asks for it; JSON in, JSON out."""
    answer = {"code": 0, "msg": "", "details": ""}
    try:
        answer["msg"] = probe(json.load(sys.stdin), _is_heard)
    except CNIError as error:
        answer = {"code": error.code, "msg": error.msg, "details": error.details}
    print(json.dumps(answer))


def _is_heard() -> bool:
    """Tell whether the plugin is still there: stdout is a socket whose other end it holds."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return not poll.poll(0)
