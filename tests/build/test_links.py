"""install.sh gives shells and man the names of the installed release, and takes them away with it: on a booted system,
whose /usr/local is its own.
"""

import pytest

from tests.build.booted import Machine, booted
from tests.installer.sample_conflists import CALICO

pytestmark = pytest.mark.slow

CURRENT = "/opt/cni/bin/.spiderpool/current"
UNINSTALL = (f"{CURRENT}/install.sh", "--uninstall")
PAGE = "/usr/local/share/man/man8/spiderpool-ipam-install.8"


def prepare(machine: Machine, *, writable: bool = True) -> None:
    machine.write("/etc/cni/net.d/10-calico.conflist", CALICO)
    machine.write("/opt/cni/bin/calico", "")
    options = "mode=755" if writable else "ro"
    assert machine.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", "/usr/local").returncode == 0


def install(machine: Machine, *options: str) -> str:
    done = machine.run("/release/install.sh", "--wait-agent=0", *options)
    assert done.returncode == 0, done.stderr
    return done.stderr


def names(machine: Machine) -> dict[str, str]:
    found = machine.run("find", "/usr/local", "-type", "l", "-printf", "%p %l\n").stdout
    return dict(line.split() for line in found.splitlines())


def test_what_is_installed_is_found_and_goes_with_it() -> None:
    with booted() as machine:
        prepare(machine)
        install(machine, "--dry-run")
        assert names(machine) == {}
        install(machine)
        found = names(machine)
        assert found["/usr/local/bin/spiderpool-ipam"] == f"{CURRENT}/spiderpool-ipam"
        assert found[PAGE] == f"{CURRENT}/share/man/man8/spiderpool-ipam-install.8"
        assert {f"/usr/local/share/{name}" for name in (
            "bash-completion/completions/spiderpool-ipam", "zsh/site-functions/_spiderpool-ipam",
            "fish/vendor_completions.d/spiderpool-ipam.fish",
        )} < found.keys()  # fmt: skip
        assert machine.run("find", "-L", "/usr/local", "-type", "l").stdout == ""  # none leads nowhere
        assert machine.run("/usr/local/bin/spiderpool-ipam", "--version").stdout.startswith("spiderpool-ipam ")
        assert "another's" not in install(machine)
        assert names(machine) == found

        machine.write("/var/lib/cni/results/x", "no JSON")
        assert machine.run(*UNINSTALL).returncode == 3
        assert names(machine) == found  # the program is still there
        machine.run("rm", "/var/lib/cni/results/x")
        assert machine.run(*UNINSTALL).returncode == 0
        assert names(machine) == {}


def test_what_is_anothers_stays_and_a_folder_that_cannot_be_written_to_stops_nothing() -> None:
    with booted() as machine:
        prepare(machine)
        machine.write(PAGE, "of a package")
        machine.link("/usr/local/bin/spiderpool-ipam", "/opt/mine")
        said = install(machine)
        for name in (PAGE, "/usr/local/bin/spiderpool-ipam"):
            assert f"{name} is another's, and stays\n" in said
        assert machine.run(*UNINSTALL).returncode == 0
        assert machine.path(PAGE).read_text() == "of a package"
        assert names(machine) == {"/usr/local/bin/spiderpool-ipam": "/opt/mine"}

        machine.run("umount", "/usr/local")
        prepare(machine, writable=False)
        text = "/usr/local/bin cannot be written to, so shells and man do not find all of spiderpool-ipam\n"
        assert install(machine).count(text) == 1
        assert machine.run(*UNINSTALL).returncode == 0
