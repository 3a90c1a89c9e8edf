"""How an attachment is named on disk."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cni import defaults
from cni.plugin.attachment import Attachment


@settings(max_examples=300)
@given(st.text(max_size=300).map("net".__add__), st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=15))
def test_any_names_make_one_plain_file_name(network: str, uid: str, ifname: str) -> None:
    path = Attachment("c", ifname, "", {"K8S_POD_UID": uid}).pending_path(network)
    assert path.startswith(defaults.PENDING_FOLDER + "/")
    name = path.removeprefix(defaults.PENDING_FOLDER + "/")
    assert "/" not in name
    assert len(name.encode()) <= 255
    assert name.endswith(".release")
    assert not name.startswith(".")
