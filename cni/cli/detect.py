"""`spiderpool-ipam detect`: the plugin runs it, not a person, so `--help` does not list it."""

import json
import select
import sys

import click
from pydantic import TypeAdapter, ValidationError

from cni.contracts.detection import DetectionAnswer, DetectionRequest
from cni.detection import probe
from cni.errors import CNIError


@click.command(hidden=True)
def detect() -> None:
    """Probe the addresses that a JSON object on stdin names, and print what was found as a JSON object."""
    try:
        request = TypeAdapter(DetectionRequest).validate_json(sys.stdin.buffer.read(), strict=True)
    except ValidationError as error:
        raise click.ClickException(_one_line(error)) from None
    try:
        answer = DetectionAnswer(code=0, msg=probe.detect(request, _is_caller_there), details="")
    except CNIError as error:
        answer = DetectionAnswer(code=error.code, msg=error.msg, details=error.details)
    print(json.dumps(answer))


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"stdin is not a detection request: {'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"


def _is_caller_there() -> bool:
    """Tell whether the plugin still holds the other end of stdout, which is a socket."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return not poll.poll(0)
