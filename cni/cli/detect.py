"""`spiderpool-ipam detect`: what the plugin runs, not people, so `--help` does not list it."""

import json
import sys

import click

from cni.detection import detect as probe
from cni.errors import CNIError


@click.command(hidden=True)
def detect() -> None:
    """Probe the addresses that stdin names, as the plugin does where the agent asks for it; JSON in, JSON out."""
    answer = {"code": 0, "msg": "", "details": ""}
    try:
        answer["msg"] = probe(json.load(sys.stdin))
    except CNIError as error:
        answer = {"code": error.code, "msg": error.msg, "details": error.details}
    print(json.dumps(answer))
