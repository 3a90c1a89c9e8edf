"""What the lab asks of a real API server: it goes there with credentials, watches go on, and all is removed."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx

from tests.doctor import kubeconfigs
from tests.doctor.api_server import make_certificates, serving
from tests.lab import real_api
from tests.lab.api_process import MAPS, Api, create, everything, made

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMES = {"plural": "things", "kind": "Thing"}


@contextmanager
def proxy(kubeconfig: Path) -> Iterator[httpx.Client]:
    """Do what a lab does until the block ends; give a client of what it is served. All must have been removed then."""
    statuses = []
    end, ended = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def lab(stdin: int) -> int:
            with socket.fromfd(stdin, socket.AF_UNIX, socket.SOCK_STREAM) as channel:
                socket.send_fds(channel, [b"."], [listener.fileno()])
            return len(ended.recv(1))

        with Path(__file__).open() as lock, ended:
            thread = Thread(target=lambda: statuses.append(real_api.run_with(kubeconfig, lock.fileno(), lab)))
            thread.start()
            try:
                with httpx.Client(base_url=url, timeout=30) as client:
                    yield client
            finally:
                end.close()
                thread.join()
    assert statuses == [0]


def test_what_was_created_is_removed_also_with_finalizers_and_what_was_there_stays(real: Api, tmp_path: Path) -> None:
    create(real, MAPS, "of-the-cluster")
    before = everything(real)
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {"group": "example.com", "names": NAMES, "scope": "Cluster", "versions": [version]}
    with proxy(tmp_path / "kubeconfig") as client:
        through = real._replace(client=client)
        create(through, DEFINITIONS, "things.example.com", spec=spec)
        create(through, "/apis/example.com/v1/things", "held", metadata={"finalizers": ["example.com/held"]})
        create(through, "/api/v1/nodes", "node1", metadata={"finalizers": ["example.com/held"]})
        create(through, "/api/v1/namespaces/default/pods", "pod", spec={"nodeName": "node1", "containers": []})
        create(through, MAPS, "of-the-lab")
        assert made(client.delete(f"{MAPS}/of-the-lab"), 200)
        create(real, MAPS, "of-the-lab")  # which is another one of the same name
        assert len(everything(real)) == len(before) + 5
    names = [item["metadata"]["name"] for item in real.client.get(MAPS).json()["items"]]
    assert sorted(names) == ["of-the-cluster", "of-the-lab"]
    assert before < everything(real)
    assert len(everything(real)) == len(before) + 1


def test_watch_goes_on_while_other_requests_are_answered(real: Api, tmp_path: Path) -> None:
    with proxy(tmp_path / "kubeconfig") as client, client.stream("GET", MAPS, params={"watch": "true"}) as watch:
        lines = watch.iter_lines()
        for name in ("one", "two"):
            create(real, MAPS, name)
            assert f'"name":"{name}"' in next(lines)
        refused = client.get(f"{MAPS}/there-is%2Fnone?x=%20")
        assert (refused.status_code, refused.json()["kind"]) == (404, "Status")


def test_requests_have_the_credentials_and_an_exec_plugin_is_asked_again_when_they_have_ended(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    counted = tmp_path / "count"
    answer = kubeconfigs.credential(token="COUNT").replace('"', '\\"')
    script = f'echo x >>{counted}\necho "{answer}" | sed "s/COUNT/$(wc -l <{counted})/"'
    with serving(certificates) as api:
        api.answers["/version"] = lambda seen: (
            (200, {}, dict(seen.headers)) if seen.headers.get("Authorization") == "Bearer 2" else (401, {}, {})
        )
        login = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "interactiveMode": "Never"}
        kubeconfigs.plugin(tmp_path, script)
        config = kubeconfigs.config(api, certificates, {"exec": login})
        with proxy(kubeconfigs.write(tmp_path / "kubeconfig", config)) as client:
            assert client.get("/version", headers={"Authorization": "Bearer of-the-lab"}).status_code == 200


def test_cluster_with_objects_of_its_own_or_none_that_answers_is_refused(real: Api, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    assert real_api.refusal(kubeconfig) == ""
    create(real, "/api/v1/nodes", "of-the-cluster")
    assert real_api.refusal(kubeconfig) == f"{real.url} has Nodes already: the lab is for an empty API server"
    real.process.terminate()
    real.process.wait(30)
    assert "\n" not in real_api.refusal(kubeconfig)
    assert real_api.refusal(kubeconfig).startswith(real.url)
    assert real_api.refusal(tmp_path / "none") == f"{tmp_path / 'none'}: No such file or directory"
