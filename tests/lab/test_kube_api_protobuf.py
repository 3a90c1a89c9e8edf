"""What Helm sends as protobuf is read as what it means, and what is damaged is refused."""

from tests.lab.api_process import Api, made, refused

SECRETS = "/api/v1/namespaces/default/secrets"
HEADERS = {"Content-Type": "application/vnd.kubernetes.protobuf"}


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def message(kind: bytes, content: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, b"v1") + field(2, kind)) + field(2, content)


METADATA = field(1, b"release") + field(3, b"default") + b"\x38\x00" + field(11, field(1, b"owner") + field(2, b"helm"))
SECRET = message(b"Secret", field(1, METADATA) + field(2, field(1, b"x") + field(2, b"\xff")) + field(3, b"a/b"))


def test_a_secret_is_made_and_deleted(api: Api) -> None:
    secret = made(api.client.post(SECRETS, content=SECRET, headers=HEADERS))
    assert (secret["metadata"]["labels"], secret["data"], secret["type"]) == ({"owner": "helm"}, {"x": "/w=="}, "a/b")
    options = message(b"DeleteOptions", b"")
    answer = api.client.request("DELETE", f"{SECRETS}/release", content=options, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    assert api.client.get(SECRETS).json()["items"] == []


def test_what_is_damaged_or_of_another_kind_is_refused(api: Api) -> None:
    for end in range(len(SECRET)):
        answer = api.client.post(SECRETS, content=SECRET[:end], headers=HEADERS)
        # A name that is cut is a name, too, and a namespace that is cut is another one.
        assert answer.status_code in (201, 400, 409, 415, 422), (end, answer.text)
    assert refused(api.client.post(SECRETS, content=message(b"Pod", b""), headers=HEADERS))[0] == 415
