import pytest

from cni.installer.conflist import record
from cni.installer.conflist.document import ConflistError
from tests.installer.conflist.writes import reconciled, restored
from tests.installer.sample_conflists import CALICO, GO, SWAPPED
from tests.installer.sample_node import COPY, Node


def test_other_settings_are_no_drift(node: Node) -> None:
    reconciled(node)
    assert reconciled(node, settings={"log_level": "info"}).message == "its settings differ"
    assert (node.ipam()["log_level"], node.record.drift_count) == ("info", 0)


def test_a_copy_follows_its_source(node: Node) -> None:
    reconciled(node, as_name=COPY)
    node.write(CALICO.replace('"mtu": 0', '"mtu": 1450'))
    planned = reconciled(node, as_name=COPY)
    assert (planned.drift, planned.message) == (None, "10-calico.conflist has changed, or the settings have")
    assert node.copy.read_text() == SWAPPED.replace('"mtu": 0', '"mtu": 1450')


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("50-late.conflist", "sorts before its source"),
        ("05-x.conf", "ends in .conflist"),
        ("../05-x.conflist", "want a file name"),
        ("05-other.conflist", "not ours"),
    ],
)
def test_names_that_no_copy_may_have_are_refused(node: Node, name: str, words: str) -> None:
    (node.conf / "05-other.conflist").write_text('{"name": "x", "plugins": [{"type": "bridge"}]}')
    before = node.files()
    with pytest.raises(ConflistError, match=words):
        reconciled(node, as_name=name)
    assert node.files() == before


def test_a_copy_under_its_sources_name_is_refused(node: Node) -> None:
    with pytest.raises(ConflistError, match="a name that sorts before its source"):
        reconciled(node, as_name=node.conflist.name)


@pytest.mark.parametrize("conf", ["20-x.conflist", "/etc/cni/net.d/20-x.conflist"])
def test_a_file_is_named_by_its_name_or_by_the_nodes_path(node: Node, conf: str) -> None:
    (node.conf / "20-x.conflist").write_text(CALICO)
    reconciled(node, conf=conf)
    assert (node.conf / "20-x.conflist").read_text() == SWAPPED
    assert node.conflist.read_text() == CALICO


def test_what_is_said_of_files_can_be_given_back_to_it(node: Node) -> None:
    (node.conf / "20-x.conflist").write_text(CALICO)
    with pytest.raises(ConflistError) as raised:
        reconciled(node)
    assert str(raised.value) == (
        "several plugins of type calico, in 10-calico.conflist, 20-x.conflist: name the file with --conf"
    )
    with pytest.raises(ConflistError) as raised:
        reconciled(node, plugin_type="flannel")
    assert str(raised.value) == "no plugin of type flannel in /etc/cni/net.d"


@pytest.mark.parametrize("text", [CALICO, "{", "\x00\udcff"])
def test_a_copy_that_others_have_overwritten_is_counted(node: Node, text: str) -> None:
    reconciled(node, as_name=COPY)
    node.copy.write_bytes(text.encode(errors="surrogateescape"))
    planned = reconciled(node, as_name=COPY)
    assert (planned.drift, planned.message, node.record.drift_count) == ("overwritten", "it was overwritten", 1)
    assert node.copy.read_text() == SWAPPED


def test_drift_is_counted_and_its_value_kept_anew(node: Node) -> None:
    reconciled(node)
    node.write(CALICO.replace('{ "type": "calico-ipam" }', '{"type":"host-local"}'))
    assert reconciled(node).drift == "replaced"
    assert (node.record.drift_count, node.record.original) == (1, '{"type":"host-local"}')
    restored(node)
    assert node.ipam() == {"type": "host-local"}


def test_the_last_drifts_are_kept_with_what_others_left_until_something_else_is_asked_for(node: Node) -> None:
    reconciled(node)
    for count in range(1, 7):
        node.write(CALICO)
        reconciled(node)
        assert len(node.record.drifts) == min(count, 4)
    assert node.record.drifts == sorted(node.record.drifts)
    assert node.record.left == "its ipam.type was calico-ipam"
    kept = node.record.drifts
    reconciled(node)
    assert node.record.drifts == kept
    reconciled(node, as_name=COPY)
    assert (node.record.drifts, node.record.left) == ([], "")
    node.copy.unlink()
    reconciled(node, as_name=COPY)
    assert (len(node.record.drifts), node.record.left) == (1, "it was gone")
    node.copy.write_text(CALICO)
    reconciled(node, as_name=COPY)
    assert node.record.left.startswith("others had written the ipam")


def test_a_copy_that_was_removed_comes_back_and_is_counted(node: Node) -> None:
    reconciled(node, as_name=COPY)
    node.copy.unlink()
    assert reconciled(node, as_name=COPY).drift == "removed"
    assert (node.ipam(node.copy), node.record.drift_count) == ({"type": "spiderpool"}, 1)


@pytest.mark.parametrize(("as_name", "first"), [("", COPY), (COPY, "")])
def test_from_one_way_to_the_other_the_go_plugins_settings_stay(node: Node, as_name: str, first: str) -> None:
    node.write(GO)
    for name in (first, as_name):
        reconciled(node, as_name=name, settings={"log_level": "debug"})
        assert (node.ipam(node.conf / (name or node.conflist.name))["default_ipv4_ippool"]) == ["blue"]
    restored(node)
    assert {name: data.decode() for name, data in node.files().items() if name != record.NAME} == {
        "10-calico.conflist": GO
    }


def test_beside_a_copy_the_source_is_calicos_even_if_it_says_spiderpool(node: Node) -> None:
    reconciled(node, as_name=COPY)
    node.write(GO)
    reconciled(node, as_name=COPY)
    assert node.conflist.read_text() == GO
    assert node.copy.read_text() == GO
    assert "removed" in restored(node)[0]
    assert (node.conflist.read_text(), node.copy.exists()) == (GO, False)


def test_a_source_elsewhere_is_not_taken_for_a_former_copy_of_the_same_name(node: Node) -> None:
    reconciled(node, as_name=COPY)
    elsewhere = node.root / "elsewhere" / COPY
    elsewhere.parent.mkdir()
    elsewhere.write_text(SWAPPED)
    node.copy.unlink()
    made = reconciled(node, conf=f"/elsewhere/{COPY}")
    assert (made.target.path, made.leftovers) == (elsewhere, [])
    assert elsewhere.read_text() == SWAPPED


@pytest.mark.parametrize("target", ["/theirs.conflist", "/no/such"])
def test_a_link_of_others_is_no_copy_of_ours_wherever_it_leads(target: str, node: Node) -> None:
    """On this machine the link leads nowhere; on the node, to a file."""
    (node.root / "theirs.conflist").write_text("theirs")
    node.copy.symlink_to(target)
    with pytest.raises(ConflistError, match="it is not ours: choose another name"):
        node.install(COPY)
    assert str(node.copy.readlink()) == target
