"""`make lab` [KEEP=1] [BREAK=NAME|all] [RACE=1] [AGENT=embedded]: the guide with Calico's own parts, in namespaces.

    python -m tests.lab [--keep] [--break NAME|all | --race] [--agent spiderpool|embedded]
                        [--record | --kubeconfig FILE]

It needs root. Everything is in namespaces of its own, so nothing is left, however it ends. Exit status: 0 all was seen
that has to be, 1 something was not, 2 something is missing here, or the cluster of the kubeconfig is in use, 3 another
lab is running out of this checkout.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.lab import breakages, guide, look_around, objects, programs, race, real_api, sandbox
from tests.lab.agents import Agent, Embedded, Upstream
from tests.lab.breakages import BREAKAGES
from tests.lab.processes import FOLDER, LabError
from tests.lab.topology import Lab

_LAST_LINES = 5  # of each log
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
_AGENTS: dict[str, type[Agent]] = {"spiderpool": Upstream, "embedded": Embedded}
_ABSENT = """\
Not there: Felix, Typha, kubelet. So there are no VXLAN or IPIP routes, no natOutgoing and no network policy. A pod's
own routes and proxy ARP are made by Calico's CNI plugin, which is real here."""


def main() -> int:
    """Run the command line; return the exit status."""
    options = parse()
    if options.inside:
        return run(options)
    if missing := programs.missing():
        print(*missing, sep="\n", file=sys.stderr)
        return 2
    try:
        with sandbox.alone() as lock:
            return enter(options.kubeconfig, lock)
    except sandbox.OccupiedError:
        print("another lab is running out of this checkout: wait for it, or end it", file=sys.stderr)
        return 3


def enter(kubeconfig: Path | None, lock: int) -> int:
    """Run the lab in its sandbox, with the test API server or with that of a kubeconfig; return the exit status."""
    arguments = sys.argv[1:]
    if not kubeconfig:
        return sandbox.enter(arguments)
    if refusal := real_api.refusal(kubeconfig):
        print(refusal, file=sys.stderr)
        return 2
    return real_api.run_with(kubeconfig, lock, partial(sandbox.enter, arguments))


def parse() -> argparse.Namespace:
    """Return the options."""
    names = [breakage.name for breakage in BREAKAGES]
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave it up until Ctrl-C")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--race", action="store_true", help="have 180 pods come and go with three IPAM plugins by turns")
    what.add_argument("--break", dest="breakage", choices=["all", *names], metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--agent", choices=[*_AGENTS], default="spiderpool", help="upstream's agent, or the embedded one"
    )
    api = parser.add_mutually_exclusive_group()
    api.add_argument("--record", action="store_true", help="write what BIRD exports to tests/lab/export")
    api.add_argument("--kubeconfig", type=Path, metavar="FILE", help="have its API server instead of the test server")
    parser.add_argument("--frozen-doctor", action="store_true", help="run doctor out of the release, not the sources")
    parser.add_argument(sandbox.INSIDE, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    """Run the guide, and breakages, in the sandbox."""
    pid = sandbox.furnish()
    started, lab = (
        time.monotonic(),
        Lab(_AGENTS[options.agent], has_real_api=bool(options.kubeconfig), has_frozen_doctor=options.frozen_doctor),
    )
    stays = options.keep or options.breakage not in (None, "all")
    if options.race:
        steps = [*race.STEPS, guide.Step("race: 3 x 60 pods, 8 at a time", race.run)]
    else:
        steps = guide.STEPS if stays or options.breakage else [*guide.STEPS, guide.LAST]
    is_good = all(say(str(number), step.title, partial(step.do, lab)) for number, step in enumerate(steps, 1))
    if is_good and options.breakage:
        is_good = run_breakages(lab, options)
    print(f"{'all is as it has to be' if is_good else 'NOT as it has to be'}, {time.monotonic() - started:.1f} s")
    print(_ABSENT, flush=True)
    if stays:
        keep(lab, pid)
    elif not is_good:
        print_logs()
    return 0 if is_good else 1


def run_breakages(lab: Lab, options: argparse.Namespace) -> bool:
    """Run one breakage, and break it once more, so that it stays; or run all. False: something was not as expected."""
    look_around.add_commands(lab.nodes)  # doctor names some of them
    lab.nodes[1].install_again()  # else doctor would say, rightly, that Calico's installer undoes its swap too often
    if not shutil.which("kubectl"):
        print("There is no kubectl here: the lab itself sends what kubectl would.", flush=True)
    print(breakages.LEGEND, flush=True)
    is_good = True
    for one in BREAKAGES:
        if options.breakage not in (one.name, "all"):
            continue
        if one.needs_upstream and not lab.agent.knows_pods:
            print(f"{one.name:>23}  left out: {lab.agent.title} does not do that", flush=True)
            continue
        kept = objects.of_calico()
        is_good &= say(f"{one.name:>23}", one.title, partial(breakages.prove, one, lab, options.record))
        try:
            breakages.undo(one, lab, kept)
        except LabError as error:
            print(f"{one.name} cannot be undone: {error}", flush=True)
            return False
        if options.breakage == one.name:
            one.change(lab)
            print(f"{one.name:>23}  is made once more, and stays, so that you can look around", flush=True)
    return is_good


def say(mark: str, title: str, do: Callable[[], str]) -> bool:
    """Do something, and print what was seen and how long it took. False: it was not what had to be seen."""
    started = time.monotonic()
    try:
        seen, colour = do(), _GREEN
    except LabError as failure:
        seen, colour = f"FAILED: {failure}", _RED
    shown = f"{colour}{mark:>2}{_PLAIN}" if sys.stdout.isatty() else f"{mark:>2}"
    print(f"{shown} {time.monotonic() - started:5.1f} s  {title}: {seen}", flush=True)
    return colour == _GREEN


def print_logs() -> None:
    """Print the ends of the logs, which go with the sandbox, to stderr."""
    for path in sorted(FOLDER.rglob("*.log")):
        lines = path.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        print(f"{path}:", *(f"  {line[:300]}" for line in lines), sep="\n", file=sys.stderr)


def keep(lab: Lab, pid: int) -> None:
    """Say how to look around, and wait for SIGTERM. Ctrl-C ends the process outside, and this one with it."""
    try:
        look_around.add_commands(lab.nodes)
    except LabError as error:
        print(f"it cannot stay up: {error}", flush=True)
        return
    print(look_around.text(pid, guide.DEPLOYED[0]), flush=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.sigwait([signal.SIGTERM])


if __name__ == "__main__":
    sys.exit(main())
