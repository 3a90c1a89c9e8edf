"""Stands for kubectl where there is none, for those of its commands that the guide has.

    python -m tests.docs.kubectl apply -f - | rollout restart deployment/NAME | exec POD -- COMMAND...

Other commands and options are refused. Every object of a core kind has to hold by Kubernetes' own schema, because the
tests' API server does not look at them. Side effects: requests to the API server of the lab, and `exec` becomes COMMAND
in the pod's network namespace.
"""

import os
import sys
from datetime import UTC, datetime

import kubernetes_validate
import yaml

from tests.lab import objects
from tests.lab.objects import Object
from tests.lab.processes import LabError

_KUBERNETES = "1.32"  # any of the last years: the guide has nothing that is new
_APPLY = ["apply", "-f", "-"]


def main(words: list[str]) -> int:
    """Do one command; return the exit status."""
    try:
        if words == _APPLY:
            for manifest in yaml.safe_load_all(sys.stdin):
                print(apply(manifest))
            return 0
        match words:
            case ["rollout", "restart", what] if what.startswith("deployment/"):
                print(restart(what.removeprefix("deployment/")))
                return 0
            case ["exec", pod, "--", *command] if command:
                enter(pod, command)
        print(f"kubectl of the lab does not know {' '.join(words)!r}", file=sys.stderr)
    except (LabError, kubernetes_validate.ValidationError) as error:
        print(error, file=sys.stderr)
    return 1


def apply(manifest: Object) -> str:
    """Make an object; return what kubectl says. LabError or ValidationError: it is refused."""
    group, _, _ = manifest["apiVersion"].rpartition("/")
    kind, name = manifest["kind"].lower(), manifest["metadata"]["name"]
    if "." not in group:
        kubernetes_validate.validate(manifest, _KUBERNETES, strict=True)
    namespace = manifest["metadata"].setdefault("namespace", "default")
    root = f"/{'apis' if group else 'api'}/{manifest['apiVersion']}/namespaces/{namespace}"
    objects.request("POST", f"{root}/{kind}s", manifest)
    return f"{kind}{'.' if group else ''}{group}/{name} created"


def restart(deployment: str) -> str:
    """Have a Deployment's pods be made anew; return what kubectl says. LabError: there is none."""
    metadata = {"annotations": {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat()}}
    path = f"/apis/apps/v1/namespaces/default/deployments/{deployment}"
    body = {"spec": {"template": {"metadata": metadata}}}
    objects.request("PATCH", path, body, "application/merge-patch+json")
    return f"deployment.apps/{deployment} restarted"


def enter(pod: str, command: list[str]) -> None:
    """Become a command in a pod, by the short commands of the lab. LabError: there is no such pod."""
    node = objects.request("GET", f"/api/v1/namespaces/default/pods/{pod}")["spec"]["nodeName"]
    os.execvp(node, [node, "pod", pod, *command])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
