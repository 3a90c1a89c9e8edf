"""Nodes are asked however many they are, while a credential is renewed, and where the API does not answer."""

import json
import random
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from cni.doctor import render
from cni.doctor.collect import node_reports
from tests.cli.test_doctor import SCHEMA, doctor
from tests.doctor.api_server import Answer, ApiServer, Certificates, Handler, Seen
from tests.doctor.kubeconfigs import config, credential, plugin, write
from tests.doctor.test_node_reports import FINDING, PODS, check, collect, path_of, pod, report

NAMES = [f"node{number:02}" for number in range(64)]
ONLY = ("--cluster-only", "--nodes", "--only=bgp-router-view")


def serve(api: ApiServer, answer: Handler) -> None:
    api.serve(PODS, *(pod(name, "--report") for name in NAMES))
    for name in NAMES:
        api.answers[path_of(name)] = answer


def slowly(_: Seen) -> Answer:
    time.sleep(0.5)
    return report(FINDING)


def test_more_nodes_have_more_time(api: ApiServer, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_reports, "AT_ONCE", 8)
    monkeypatch.setattr(node_reports, "SECONDS", 2.0)  # 8 rounds take twice as long
    monkeypatch.setattr(node_reports, "_STEP", 30)
    serve(api, slowly)
    progress: list[str] = []
    found = node_reports.collect(kubeconfig, "", progress.append)
    assert (found["answered"], found["silent"]) == (NAMES, [])
    assert progress == ["asking 64 nodes", "30 of 64 nodes are asked", "60 of 64 nodes are asked"]


def test_nodes_for_which_there_is_no_time_left_are_told(
    api: ApiServer, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(node_reports, "AT_ONCE", 8)
    monkeypatch.setattr(node_reports, "SECONDS", 2.0)
    monkeypatch.setattr(node_reports, "SECONDS_EACH", 0.0)
    serve(api, slowly)
    found = collect(kubeconfig)
    (silent,) = [one for one in found["silent"] if one["because"] == "there was no time left to ask the API"]
    assert len(silent["nodes"]) > 20
    render.show({"version": "1.0.0", "summary": {}, "checks": [], "nodes": found}, (), "en", short=False)
    told = len(found["answered"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"nodes ({told} have told, {len(NAMES) - told} have not)"
    (line,) = [one for one in lines if one.endswith(": there was no time left to ask the API")]
    assert f" and {len(silent['nodes']) - 20} more" in line


@pytest.mark.parametrize("is_by_token", [True, False])
def test_a_credential_that_is_over_is_renewed_once_for_all(
    tmp_path: Path, api: ApiServer, certificates: Certificates, is_by_token: bool
) -> None:
    counter = tmp_path / "runs"
    plugin(tmp_path, f"echo x >>{counter}; n=$(wc -l <{counter})\necho '{credential(token='N')}' | sed s/N/$n/")
    told = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login"}
    path = write(tmp_path / "k", config(api, certificates, {"exec": told}))
    seen = set()

    def answer(request: Seen) -> Answer:
        time.sleep(random.uniform(0, 0.4))
        is_over = request.headers["Authorization"] == "Bearer 1" if is_by_token else request.path not in seen
        seen.add(request.path)
        return (401, {}, {"message": "expired"}) if is_over else report(FINDING)

    serve(api, answer)
    assert collect(path)["answered"] == NAMES
    assert counter.read_text().count("x") == 2


def test_a_plugin_that_cannot_renew_it_is_run_once(tmp_path: Path, api: ApiServer, certificates: Certificates) -> None:
    counter = tmp_path / "runs"
    plugin(tmp_path, f"echo x >>{counter}; test $(wc -l <{counter}) = 1 || exit 3\necho '{credential(token='t')}'")
    told = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login"}
    path = write(tmp_path / "k", config(api, certificates, {"exec": told}))
    serve(api, lambda _: (401, {}, {"message": "expired"}))
    (silent,) = collect(path)["silent"]
    assert silent == {"because": "the exec plugin login has ended with status 3", "nodes": NAMES}
    assert counter.read_text().count("x") == 2


def test_without_an_api_the_report_is_printed_all_the_same(kubeconfig: Path) -> None:
    kubeconfig.write_text(kubeconfig.read_text().replace("127.0.0.1:", "127.0.0.1:1/"))
    done = doctor(*ONLY, f"--kubeconfig={kubeconfig}")
    assert (done.returncode, done.stderr) == (3, "")
    assert "nodes (0 have told)\n  not checked  which nodes there are is not known: https://127.0.0.1:1/" in done.stdout
    as_json = json.loads(doctor(*ONLY, "--json", f"--kubeconfig={kubeconfig}").stdout)
    jsonschema_rs.validator_for(SCHEMA).validate(as_json)
    assert [one["nodes"] for one in as_json["nodes"]["silent"]] == [[]]
    done = doctor(*ONLY, "--no-pods", f"--kubeconfig={kubeconfig}")
    assert "not known: https://(address):1/" in done.stdout


def test_without_pods_none_is_named_that_a_node_has_named(api: ApiServer, kubeconfig: Path) -> None:
    api.serve(PODS, *(pod(name, "--report") for name in ("a", "b", "c")))
    secret = {**FINDING, "object": "default/secret-web-0"}

    def routes(*numbers: int) -> Any:
        found = [{**secret, "seen": f"10.1.2.{number} has no route"} for number in numbers]
        return {**check(*found), "id": "node-bird"}

    for name, numbers in {"a": (1,), "b": (2,), "c": (3, 4)}.items():
        others = [
            check({**FINDING, "seen": f"10.1.3.{len(numbers)} is there"}),
            {**routes(5), "id": "of-a-newer-doctor"},
        ]
        body = {"made_at": 1.0, "report": {"version": "1.0.0", "summary": {}, "checks": [routes(*numbers), *others]}}
        api.say(path_of(name), (200, {}, body))
    options = (*ONLY, f"--kubeconfig={kubeconfig}")
    assert "default/secret-web-0: 10.1.2.3 has no route" in doctor(*options).stdout
    table, as_json = (doctor(*options, "--no-pods", *more).stdout for more in ((), ("--json",)))
    for text in (table, as_json):
        assert not [secret for secret in ("secret-web", "10.1.") if secret in text]
    found = json.loads(as_json)["nodes"]["findings"]
    assert [(one["check"], one["finding"]["seen"].partition(",")[0], one["nodes"]) for one in found] == [
        ("node-bird", "1 findings", ["a", "b"]),
        ("node-forwarding", "(address) is there", ["a", "b", "c"]),
        ("of-a-newer-doctor", "1 findings", ["a", "b", "c"]),
        ("node-bird", "2 findings", ["c"]),
    ]
