"""`spiderpool-ipam detect`: the plugin runs it, not a person, so `--help` does not list it."""

import json
import select
import sys

import click

from cni.contracts.detection import DetectionAnswer, DetectionRequest
from cni.detection import probe
from cni.errors import CNIError


@click.command(hidden=True)
def detect() -> None:
    """Probe the addresses that a JSON object on stdin names, and print what was found as a JSON object."""
    # Only the plugin of the same release writes this. To check it with pydantic would take 70 ms of each ADD.
    request: DetectionRequest = json.load(sys.stdin)
    try:
        answer = DetectionAnswer(code=0, msg=probe.detect(request, _is_caller_there), details="")
    except CNIError as error:
        answer = DetectionAnswer(code=error.code, msg=error.msg, details=error.details)
    print(json.dumps(answer))


def _is_caller_there() -> bool:
    """Tell whether the plugin still holds the other end of stdout, which is a socket."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return not poll.poll(0)
