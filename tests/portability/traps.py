"""Traps: a library, modules and configuration that end or break every process that loads them."""

import subprocess
from pathlib import Path

from tests import requirements

STATUS = 99  # the exit status of a process that has loaded trap.c's library
RAISE = "raise SystemExit('a trap')\n"
OPENSSL = "openssl_conf = a\n[a]\nproviders = b\n[b]\ntrap = c\n[c]\nmodule = /traps/preload.so\nactivate = 1\n"


def lay(folder: Path) -> Path:
    """Make the traps in a folder; places have it as /traps."""
    gcc = requirements.need_program("gcc")
    source = Path(__file__).with_name("trap.c")
    subprocess.run([gcc, "-shared", "-fPIC", "-o", folder / "preload.so", source], check=True)
    libraries = folder / "lib"
    libraries.mkdir()
    for library in (requirements.need_frozen("spiderpool").parent / "_internal").glob("lib*.so*"):
        (libraries / library.name).write_text("not a library")
    modules = folder / "python"
    (modules / "encodings").mkdir(parents=True)
    for name in ("encodings/__init__", "codecs", "posix", "site", "sitecustomize", "usercustomize"):
        (modules / f"{name}.py").write_text(RAISE)
    (folder / "openssl.cnf").write_text(OPENSSL)
    return folder


def variables(folder: str = "/traps") -> dict[str, str]:
    """Return the variables that make a process load the traps."""
    return {
        "LD_PRELOAD": f"{folder}/preload.so",
        "LD_AUDIT": f"{folder}/preload.so",
        "LD_LIBRARY_PATH": f"{folder}/lib",
        "LD_BIND_NOW": "1",
        "LD_DEBUG": "all",
        "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=-1:glibc.malloc.check=3",
        "GCONV_PATH": f"{folder}/lib",
        "LOCPATH": f"{folder}/lib",
        "LANG": "xx_XX.NOSUCH",
        "LC_ALL": "xx",
        "OPENSSL_CONF": f"{folder}/openssl.cnf",
        "PYTHONHOME": "/nowhere",
        "PYTHONINSPECT": "1",
        "PYTHONPATH": f"{folder}/python",
        "PYTHONSTARTUP": f"{folder}/python/site.py",
        "PYTHONUTF8": "0",
        "PYTHONVERBOSE": "1",
        "_PYI_APPLICATION_HOME_DIR": f"{folder}/lib",
        "_PYI_ARCHIVE_FILE": f"{folder}/preload.so",
        "_PYI_PARENT_PROCESS_LEVEL": "1",
    }
