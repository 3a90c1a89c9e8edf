"""Which proxy doctor takes: a table of the rules that Go documents, and a real proxy that counts what it is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.contracts.api_objects import GROUPS
from cni.deadline import Deadline
from cni.doctor.collect import cluster, node_reports, proxies
from cni.doctor.collect.kube import Kube
from cni.doctor.collect.kubeconfig import find
from cni.installer.errors import InstallerError
from cni.installer.node import agent_health
from tests.doctor import proxy_server
from tests.doctor.api_server import GROUPS as SERVED
from tests.doctor.api_server import ApiServer, Certificates, serving
from tests.doctor.kubeconfigs import config, write
from tests.doctor.proxy_server import Proxy
from tests.installer.health_agent import dripping

EXAMPLE = "https://api.example:6443"  # the certificate has this name
DEAD = "http://127.0.0.1:1"
PROXY = "http://p:3128"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxy(api: ApiServer) -> Iterator[Proxy]:
    with proxy_server.running(api.port) as one:
        yield one


@pytest.mark.parametrize(
    ("server", "variables", "chosen"),
    [
        ("https://x", {}, ""),
        ("https://x", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://x", {"https_proxy": PROXY}, PROXY),
        ("https://x", {"HTTPS_PROXY": PROXY, "https_proxy": "http://lower"}, PROXY),
        ("https://x", {"HTTPS_PROXY": "", "https_proxy": PROXY}, PROXY),
        ("https://x", {"HTTP_PROXY": PROXY}, ""),
        ("http://x", {"HTTPS_PROXY": PROXY}, ""),
        ("http://x", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://x", {"ALL_PROXY": PROXY, "all_proxy": PROXY}, ""),
        ("https://x", {"HTTPS_PROXY": "p:3128"}, PROXY),
        ("https://x", {"HTTPS_PROXY": "p"}, "http://p"),
        ("https://x", {"HTTPS_PROXY": "jane:s3cr3t@p:3128"}, "http://jane:s3cr3t@p:3128"),
        ("https://x", {"HTTPS_PROXY": "socks5://p:1080"}, "socks5://p:1080"),
        ("x:6443", {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY}, ""),
        ("https://[::1", {"HTTPS_PROXY": PROXY}, ""),
        ("https://x:y", {"HTTPS_PROXY": PROXY}, ""),
    ],
)
def test_the_variable_is_that_of_the_servers_scheme(server: str, variables: dict[str, str], chosen: str) -> None:
    assert proxies.choose(server, variables) == chosen


@pytest.mark.parametrize(
    "server",
    [
        "https://localhost", "https://localhost:6443", "http://127.0.0.1:8080", "https://127.1.2.3", "https://[::1]:6443",
        "https://[::ffff:127.0.0.1]",
    ],
)  # fmt: skip
def test_this_machine_is_never_asked_by_a_proxy(server: str) -> None:
    assert proxies.choose(server, {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY}) == ""


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("host", "rules", "is_excluded"),
    [
        ("10.1.2.3:6443", "*", True),
        ("api.example", "x, *", True),
        ("10.1.2.3:6443", "10.1.2.3", True),
        ("10.1.2.3:6443", "10.1.2.3:6443", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3:6443", "10.1.2.3:443", False),
        ("10.1.2.3:6443", "10.0.0.0/8", True),
        ("10.1.2.3:6443", "10.9.9.9/8", True),
        ("10.1.2.3:6443", "192.168.0.0/16,10.0.0.0/8", True),
        ("10.1.2.3:6443", "11.0.0.0/8", False),
        ("10.1.2.3:6443", "10.0.0.0/8:6443", False),
        ("10.1.2.3:6443", "10.0.0.0/255.0.0.0", False),
        ("10.1.2.3:6443", "10.0.0.0/33", False),
        ("10.1.2.3:6443", "10.", False),
        ("10.1.2.3:6443", ".2.3", False),
        ("10.1.2.3:6443", "fd00::/8", False),
        ("[fd00::1]:6443", "fd00::/8", True),
        ("[fd00::1]:6443", "fd00:0::1", True),
        ("[fd00::1]:6443", "[fd00::1]:6443", True),
        ("[fd00::1]:6443", "[fd00::1]", False),
        ("[::ffff:10.1.2.3]", "10.0.0.0/8", True),
        ("10.1.2.3", "::ffff:10.1.2.3", True),
        ("[fe80::1%25eth0]:6443", "fe80::/10", True),
        ("foo.example", "10.0.0.0/8", False),
        ("foo.example", "foo.example", True),
        ("foo.example", "FOO.Example ", True),
        ("FOO.example", "foo.example", True),
        ("bar.foo.example", "foo.example", True),
        ("barfoo.example", "foo.example", False),
        ("foo.example", ".foo.example", False),
        ("bar.foo.example", ".foo.example", True),
        ("foo.example", "*.foo.example", False),
        ("bar.foo.example", "*.foo.example", True),
        ("bar.foo.example", "*foo.example", False),
        ("foo.example:6443", "foo.example:6443", True),
        ("foo.example:6443", "foo.example:443", False),
        ("foo.example", "example:443", True),
        ("foo.example", "foo.example:", True),
        ("foo.example", ":443", False),
        ("foo.example", ", ,", False),
        ("foo.example", "", False),
    ],
)
def test_no_proxy_is_read_as_go_documents_it(name: str, host: str, rules: str, is_excluded: bool) -> None:
    assert proxies.choose(f"https://{host}", {"HTTPS_PROXY": PROXY, name: rules}) == ("" if is_excluded else PROXY)


def groups(path: Path, variables: dict[str, str]) -> None:
    kube = Kube(find(path, "", variables), Deadline(20))
    try:
        kube.read("/apis", GROUPS)
    finally:
        kube.close()


def refused(path: Path, variables: dict[str, str]) -> str:
    with pytest.raises(InstallerError) as error:
        groups(path, variables)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_server_is_asked_by_the_proxy(
    tmp_path: Path, api: ApiServer, certificates: Certificates, proxy: Proxy
) -> None:
    groups(write(tmp_path / "k", config(api, certificates, server=EXAMPLE)), {"HTTPS_PROXY": proxy.url})
    assert proxy.asked == ["CONNECT api.example:6443"]
    assert [seen.path for seen in api.seen] == ["/apis"]


@pytest.mark.parametrize("server", ["http://api.example", "http://10.1.2.3:8080"])
def test_a_server_without_tls_is_asked_by_the_other_proxy(
    tmp_path: Path, certificates: Certificates, server: str
) -> None:
    with serving(None) as api, proxy_server.running(api.port) as proxy:
        api.say("/apis", (200, {}, SERVED))
        path = write(tmp_path / "k", config(api, certificates, server=server))
        groups(path, {"HTTP_PROXY": proxy.url, "HTTPS_PROXY": DEAD})
        assert proxy.asked == [f"GET {server}/apis"]


def test_a_proxy_by_tls_is_trusted_by_the_kubeconfigs_authority(
    tmp_path: Path, api: ApiServer, certificates: Certificates
) -> None:
    path = write(tmp_path / "k", config(api, certificates, server=EXAMPLE))
    with proxy_server.running(api.port, certificates) as proxy:
        groups(path, {"HTTPS_PROXY": proxy.url})
    assert proxy.asked == ["CONNECT api.example:6443"]


def test_the_name_in_the_certificate_may_be_told_behind_a_proxy(
    tmp_path: Path, api: ApiServer, certificates: Certificates, proxy: Proxy
) -> None:
    told = {"server": "https://other.example:6443", "proxy-url": proxy.url}
    path = write(tmp_path / "k", config(api, certificates, **told, **{"tls-server-name": "api.example"}))
    groups(path, {})
    assert proxy.asked == ["CONNECT other.example:6443"]
    assert "CERTIFICATE_VERIFY_FAILED" in refused(write(path, config(api, certificates, **told)), {})


def test_a_proxy_url_holds_for_loopback_too_and_before_the_variables(
    tmp_path: Path, api: ApiServer, certificates: Certificates, proxy: Proxy
) -> None:
    path = write(tmp_path / "k", config(api, certificates, **{"proxy-url": proxy.url}))
    groups(path, {"HTTPS_PROXY": DEAD, "NO_PROXY": "*"})
    assert proxy.asked == [f"CONNECT 127.0.0.1:{api.port}"]


def test_the_proxy_that_refuses_is_named_without_its_password(
    tmp_path: Path, api: ApiServer, certificates: Certificates, proxy: Proxy
) -> None:
    path = write(tmp_path / "k", config(api, certificates, server=EXAMPLE))
    text = refused(path, {"HTTPS_PROXY": "http://jane:s3cr3t@127.0.0.1:1"})
    assert text.startswith(f"{EXAMPLE} by the proxy {DEAD}: ")
    assert text.endswith("Connection refused")
    proxy.status = 407
    text = refused(path, {"HTTPS_PROXY": proxy.url})
    assert text == f"{EXAMPLE} by the proxy {proxy.url}: 407 Proxy Authentication Required"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("socks5://jane:s3cr3t@p:1", "socks5://p:1"),
        ("ftp://jane:s3cr3t@p:1", "ftp://p:1"),
        ("http://[::1", "http://[::1"),
        ("jane:s3cr3t@p:1", "p:1"),
        ("http://jane:s3cr3t#?/@p:x", "http://p:x"),
        ("http://p:1?s3cr3t", "http://p:1"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    tmp_path: Path, api: ApiServer, certificates: Certificates, url: str, shown: str
) -> None:
    text = refused(write(tmp_path / "k", config(api, certificates, server=EXAMPLE, **{"proxy-url": url})), {})
    assert text.startswith(f"{EXAMPLE} by the proxy {shown}: ")
    assert "s3cr3t" not in text


def test_a_socks_proxy_of_the_environment_is_not_laid_to_the_kubeconfig(
    tmp_path: Path, api: ApiServer, certificates: Certificates
) -> None:
    path = write(tmp_path / "k", config(api, certificates, server=EXAMPLE))
    assert refused(path, {"HTTPS_PROXY": "socks5://p:1"}) == (
        f"{EXAMPLE} by the proxy socks5://p:1: doctor can use a proxy of http:// or https:// only, and none of SOCKS."
        " Name one in the kubeconfig's proxy-url, or run doctor where the server can be reached without a proxy"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("https_proxy", DEAD), ("all_proxy", "socks5://127.0.0.1:1"), ("SSL_CERT_FILE", "/nonexistent")]
)
def test_httpx_takes_nothing_from_the_environment_by_rules_of_its_own(
    tmp_path: Path, api: ApiServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    path = write(tmp_path / "k", config(api, certificates))
    listing = cluster.LISTS["own_pods"]
    api.serve(f"{listing.path}?labelSelector={listing.selector['labelSelector']}")
    monkeypatch.setenv(name, value)
    assert cluster.collect(path, "", {"api"}, lambda _: None)["api"]["groups"]
    assert node_reports.collect(path, "", lambda _: None)["answered"] == []


@pytest.mark.parametrize("collect", ["cluster", "nodes"])
def test_each_that_asks_the_api_takes_the_proxy_of_the_callers_environment(
    tmp_path: Path, api: ApiServer, certificates: Certificates, proxy: Proxy, monkeypatch: pytest.MonkeyPatch,
    collect: str,
) -> None:  # fmt: skip
    path = write(tmp_path / "k", config(api, certificates, server=EXAMPLE))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    if collect == "cluster":
        cluster.collect(path, "", {"api"}, lambda _: None)
    else:
        with pytest.raises(InstallerError, match="404"):
            node_reports.collect(path, "", lambda _: None)
    assert proxy.asked == ["CONNECT api.example:6443"]


def test_the_agents_socket_is_asked_without_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, DEAD)
    with dripping(tmp_path / "s", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", pause=0):
        assert agent_health.fault(tmp_path / "s") == ""
