import pytest

from cni.errors import INVALID_ENVIRONMENT, CNIError
from cni.plugin.parameters import REQUIRED, parse_cni_args, read

WHOLE = {
    b"CNI_CONTAINERID": b"c1",
    b"CNI_NETNS": b"/var/run/netns/x",
    b"CNI_IFNAME": b"eth0",
    b"CNI_PATH": b"/opt/cni/bin",
    b"CNI_ARGS": b"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a;K8S_POD_UID=u-1",
}


def refusal(command: str, environ: dict[bytes, bytes]) -> CNIError:
    with pytest.raises(CNIError) as raised:
        read(command, environ)
    assert raised.value.code == INVALID_ENVIRONMENT
    return raised.value


@pytest.mark.parametrize("command", REQUIRED)
def test_all_missing_variables_are_named_at_once(command: str) -> None:
    if REQUIRED[command]:
        assert refusal(command, {}).details == " ".join(REQUIRED[command])
    else:
        assert read(command, {}) is None


def test_an_empty_variable_is_a_missing_one() -> None:
    assert refusal("ADD", {**WHOLE, b"CNI_NETNS": b""}).details == "CNI_NETNS"


def test_del_comes_without_a_netns() -> None:
    attachment = read("DEL", {key: value for key, value in WHOLE.items() if key != b"CNI_NETNS"})
    assert attachment
    assert (attachment.netns, attachment.container_id, attachment.pod_uid) == ("", "c1", "u-1")


@pytest.mark.parametrize("container_id", [b"-a", b"a/b", b"a b", "ä".encode(), b"a\n", b".."])
def test_container_ids_of_other_characters_are_refused(container_id: bytes) -> None:
    assert "CNI_CONTAINERID" in refusal("ADD", {**WHOLE, b"CNI_CONTAINERID": container_id}).msg


@pytest.mark.parametrize("ifname", [b".", b"..", b"a/b", b"a:b", b"a b", b"a\tb", b"x" * 16, "ä".encode() * 8])
def test_interface_names_that_linux_refuses_are_refused(ifname: bytes) -> None:
    assert "CNI_IFNAME" in refusal("DEL", {**WHOLE, b"CNI_IFNAME": ifname}).msg


def test_bytes_that_are_no_utf8_are_refused() -> None:
    assert "UTF-8" in refusal("ADD", {**WHOLE, b"CNI_NETNS": b"/x\xff"}).msg


@pytest.mark.parametrize("command", ["add", "HELP", "ADD "])
def test_an_unknown_command_is_refused_with_the_known_ones(command: str) -> None:
    error = refusal(command, WHOLE)
    assert "ADD DEL" in error.msg.replace("CHECK ", "")
    assert error.details == command


def test_the_last_of_equal_keys_wins() -> None:
    assert parse_cni_args("IgnoreUnknown=1;A=1;IgnoreUnknown=true;A=2")["A"] == "2"


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_cni_args("K8S_POD_NAME=a=b") == {"K8S_POD_NAME": "a=b"}


@pytest.mark.parametrize(
    "text",
    [
        "K8S_POD_NAME",
        "K8S_POD_NAME=a;",
        ";",
        "A=1",
        "A=1;IgnoreUnknown=0",
        "A=1;IgnoreUnknown=yes",
        "IgnoreUnknown=yes",
        "IgnoreUnknown=",
        "IgnoreUnknown=yes;IgnoreUnknown=1",
    ],
)
def test_broken_cni_args_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pair|unknown key|IgnoreUnknown"):
        parse_cni_args(text)


@pytest.mark.parametrize(
    "text", ["IgnoreUnknown=1;TOKEN=abc;hunter2", "IP=hunter2;hunter2=1", "hunter2=1;IgnoreUnknown=hunter2"]
)
def test_a_refusal_tells_the_position_and_never_the_text(text: str) -> None:
    error = refusal("ADD", {**WHOLE, b"CNI_ARGS": text.encode()})
    assert "hunter2" not in error.msg + error.details
