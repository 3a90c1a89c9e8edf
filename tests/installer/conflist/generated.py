"""Conflists as people and programs write them, and what a swap makes of one."""

import json
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from cni.installer.conflist.document import Delegation, Document, read_document
from cni.installer.conflist.ipam import our_ipam, require_replaceable


def delegating(text: str) -> tuple[Document, Delegation]:
    document = read_document(text)
    (delegation,) = document.delegations("calico")
    return document, delegation


def swapped(text: str, **settings: Any) -> str:
    document, delegation = delegating(text)
    require_replaceable(delegation)
    return document.with_ipam(delegation, our_ipam(delegation.ipam, delegation.ipam, settings))


HUGE = "9" * 5000
# Unknown keys, escapes, odd blanks, huge numbers, deep nesting.
SCALARS = st.sampled_from(["0", "-1.5e300", "true", "null", '"\\u00e4\\ud83d\\ude00"', HUGE, '"ä"', '"}]"'])
ODD = SCALARS | st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)
BLANKS = st.sampled_from(["", " ", "\n\t", "\r\n  "])
_KNOWN = ("name", "type", "ipam")
KEYS = st.text(max_size=4).map(json.dumps) | st.sampled_from(['"\\u0069pamx"', '"policy"', '"k8s_auth_token"'])


@st.composite
def objects(draw: st.DrawFn, known: dict[str, str]) -> str:
    """Write an object with these members and unknown ones, in any order."""
    members = [(json.dumps(key), value) for key, value in known.items()]
    members += draw(st.lists(st.tuples(KEYS, ODD), max_size=3))
    keys = [json.loads(key) for key, _ in members]
    assume(len({key.casefold() for key in keys}) == len(keys))
    assume(not any(key != key.casefold() in _KNOWN for key in keys))  # "NAME" is refused
    blank = draw(BLANKS)
    pairs = [f"{blank}{key}{draw(BLANKS)}:{draw(BLANKS)}{value}" for key, value in draw(st.permutations(members))]
    return "{" + f"{blank},".join(pairs) + blank + "}"


@st.composite
def conflists(draw: st.DrawFn) -> str:
    ipam = draw(objects({"type": draw(st.sampled_from(['"calico-ipam"', '"host-local"', '"spider\\u0070ool"']))}))
    calico = draw(objects({"type": '"calico"', "ipam": ipam}))
    others = draw(st.lists(objects({"type": '"portmap"'}), max_size=2))
    plugins = f"{draw(BLANKS)},{draw(BLANKS)}".join(draw(st.permutations([calico, *others])))
    return draw(BLANKS) + draw(objects({"name": '"n"', "plugins": f"[{plugins}]"})) + draw(BLANKS)


SETTINGS = st.dictionaries(st.sampled_from(["log_level", "log_file_path"]), st.text(max_size=5))
