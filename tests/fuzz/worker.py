"""The process of one target: `python -m tests.fuzz.worker TARGET ROOT RUNS SEED BROKEN`. libFuzzer ends it."""

import importlib
import os
import pkgutil
import sys

import atheris

with atheris.instrument_imports(include=["cni"]):
    from cni import plugin
    from tests.fuzz.targets import TARGETS, Agent, set_up

    for found in pkgutil.iter_modules(plugin.__path__):  # those that a call imports are not in the chroot
        importlib.import_module(f"cni.plugin.{found.name}")

from tests.fuzz.__main__ import HANG, MEMORY


def fail(*_: object, **__: object) -> None:
    """Replace a function that is broken on purpose."""
    raise RuntimeError("broken on purpose")


def main(target: str, root: str, runs: str, seed: str, broken: str) -> None:
    """Fuzz, inside the root."""
    limits = [f"-runs={runs}", f"-timeout={HANG}", f"-rss_limit_mb={MEMORY}", "-max_len=4096", "-len_control=0"]
    options = [sys.argv[0], f"-seed={seed}", *limits, "-artifact_prefix=/find-", "-dict=/words", "/corpus"]
    agents: list[Agent] = []
    atheris.Setup(options, lambda data: TARGETS[target](data, agents[0]))
    importlib.import_module("atheris.core_with_libfuzzer")  # Fuzz() imports it, and could not find it in the chroot
    if broken:
        owner, _, name = broken.rpartition(".")
        setattr(pkgutil.resolve_name(owner), name, fail)
    os.chroot(root)
    os.chdir("/")
    agents.append(set_up())
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
