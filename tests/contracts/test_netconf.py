"""Three readers of a network configuration - JSON schema, pydantic type, plugin - and they agree on every document."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cni import syntax
from cni.cni_versions import SUPPORTED
from cni.contracts.netconf import NetConf
from cni.errors import CNIError
from cni.plugin import netconf

SPEC = Path(__file__).parents[2] / "spec/netconf"
SCHEMA = jsonschema_rs.validator_for(json.loads((SPEC / "netconf.schema.json").read_text()))
TYPE = TypeAdapter(NetConf)


def verdicts(document: bytes) -> dict[str, bool]:
    """Say what each of the three thinks of it."""
    try:
        by_schema = SCHEMA.is_valid(json.loads(document))
    except ValueError:
        by_schema = False
    try:
        TYPE.validate_json(document)
        by_type = True
    except ValidationError:
        by_type = False
    try:
        netconf.read_netconf(document)
        by_plugin = True
    except CNIError:
        by_plugin = False
    return {"schema": by_schema, "type": by_type, "plugin": by_plugin}


@pytest.mark.parametrize("path", sorted(SPEC.glob("good/*.json")), ids=lambda path: path.stem)
def test_all_three_take_a_good_document(path: Path) -> None:
    assert verdicts(path.read_bytes()) == {"schema": True, "type": True, "plugin": True}


@pytest.mark.parametrize("path", sorted(SPEC.glob("bad/*.json")), ids=lambda path: path.stem)
def test_all_three_refuse_a_bad_document(path: Path) -> None:
    assert verdicts(path.read_bytes()) == {"schema": False, "type": False, "plugin": False}


@pytest.mark.parametrize(
    ("case", "code", "details"),
    [
        ("not-json", 6, "EOF"),
        ("cni-version-unknown", 1, ""),
        ("ipam-missing", 7, "ipam: Field required"),
        ("name-with-slash", 7, "name: must start with"),
        ("log-file-max-size-with-unit", 7, "ipam.log_file_max_size: must be a whole number from 0 to 999999"),
        ("default-ipv6-ippool-holds-a-number", 7, "ipam.default_ipv6_ippool.0: Input should be a valid string"),
        ("valid-attachments-without-ifname", 7, "cni.dev/valid-attachments.0.ifname: Field required"),
    ],
)
def test_a_refusal_has_its_code_and_names_the_key(case: str, code: int, details: str) -> None:
    with pytest.raises(CNIError) as raised:
        netconf.read_netconf((SPEC / f"bad/{case}.json").read_bytes())
    assert raised.value.code == code
    assert details in raised.value.details


# Documents that are nearly right: each key present or not, with a legal value or with anything.
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.text("aZ09_.-/ \n", max_size=6)
NUMBERS = (
    st.integers(1, 1000)
    | st.integers(1, 1000).map(str)
    | st.integers(-2, 1000001)
    | st.integers(0, 300).map(float)
    | st.floats(-1, 200)
    | st.integers(-1, 1000001).map(str)
    | st.text("0123456789 +-_.e٣", max_size=8)
)
PATHS = st.just("/run/s") | st.text("/ a\x00~\x7fä\n", max_size=5) | st.integers(100, 110).map(lambda n: "/" * n)
LEVELS = st.sampled_from([*syntax.LOG_LEVELS, "", "DEBUG", "Warn", "trace", "info\n", "İnfo", "ınfo"])
LISTS = st.just(["a"]) | st.lists(st.text(max_size=3) | st.none(), max_size=2)


def mostly(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda dice: values if dice else ANYTHING)


def an_object(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key: mostly(value) for key, value in values.items()})


IPAM = an_object(
    type=st.just("spiderpool"),
    ipam_unix_socket_path=PATHS,
    request_timeout=NUMBERS,
    result_shape=st.sampled_from(["calico", "subnet", ""]),
    default_ipv4_ippool=LISTS,
    clean_gateway=st.booleans(),
    log_level=LEVELS,
    log_file_path=st.text(max_size=5),
    log_file_max_size=NUMBERS,
    log_file_max_count=NUMBERS,
)
DOCUMENTS = st.fixed_dictionaries(
    {"name": mostly(st.just("k8s-pod-network")) | NAMES, "ipam": IPAM},
    optional={
        "cniVersion": st.sampled_from([*SUPPORTED, "", "1.0", "0.3.2", None]),
        "type": mostly(st.just("calico")),
        "runtimeConfig": an_object(ips=LISTS),
        "args": an_object(cni=an_object(ips=LISTS)),
        "prevResult": ANYTHING,
        "cni.dev/valid-attachments": st.none()
        | st.lists(an_object(containerID=st.text(max_size=3), ifname=st.text(max_size=3)), max_size=2),
        "other": ANYTHING,
    },
)


@pytest.mark.slow
def test_all_three_agree_on_generated_documents(show: Callable[[str], None]) -> None:
    legal = {True: 0, False: 0}

    @settings(max_examples=3000)
    @given(mostly(DOCUMENTS), st.booleans())
    def agree(document: Any, ascii_only: bool) -> None:
        found = verdicts(json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
        assert len(set(found.values())) == 1, found
        legal[found["plugin"]] += 1

    agree()
    show(f"generated network configurations: {legal[True]} legal, {legal[False]} not")
    assert min(legal.values()) > 200
