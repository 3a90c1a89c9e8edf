"""Make _internal/spiderpool.image, from which the plugin starts on amd64. Usage: make.py TREE PROGRAM TRACER

TREE is the frozen bundle; PROGRAM is the program that begins in cni/plugin/image.py; TRACER is build/image/tracer.c,
compiled. It prints the build ID, which the launcher is compiled with. Exit status 1: there is no image, because the
program cannot be continued elsewhere; stderr says why. 2: this machine does not allow it.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import assemble
import baseline
import dump
import frames
import guards
import library
from elftools.elf.elffile import ELFFile

IMAGE, STAND_IN = "spiderpool.image", "image.bin"
# What the launcher sets for today's way, too; and glibc binds every function at once, for nothing is left to be bound
# in each process.
ENVIRONMENT = ("LD_BIND_NOW=1", f"_PYI_ARCHIVE_FILE=/{STAND_IN}", "_PYI_PARENT_PROCESS_LEVEL=-1")


def build_id(folder: Path) -> str:
    """Return the SHA-256 of all files that the image may be made of, with their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != IMAGE)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def stops(folder: Path) -> Iterator[str]:
    """Return, for the tracer, each CPUID instruction: the file's name, and the offset in it."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and ".so" in path.name):
        if b"\x0f\xa2" not in path.read_bytes():
            continue
        command = ["objdump", "--disassemble", "--no-show-raw-insn", str(path)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        with path.open("rb") as file:
            segments = [one for one in ELFFile(file).iter_segments() if one["p_type"] == "PT_LOAD"]
        for found in re.findall(r"^ *([0-9a-f]+):\tcpuid", text, re.MULTILINE):
            address = int(found, 16)
            one = next(one for one in segments if 0 <= address - one["p_vaddr"] < one["p_filesz"])
            yield f"{path.name} {address - one['p_vaddr'] + one['p_offset']:x}\n"


def make(folder: Path, tracer: Path, identity: str) -> bytes:
    """Run the program to its stop, and return the image. It exits where that is refused."""
    with tempfile.TemporaryDirectory() as work:
        written, places = Path(work, "dump"), Path(work, "stops")
        places.write_text("".join(stops(folder)))
        loader = next(path.name for path in folder.glob("ld-*"))
        program = [f"/{loader}", "--inhibit-cache", "--library-path", "/", f"/{STAND_IN}"]
        done = subprocess.run([tracer, written, folder, places, *ENVIRONMENT, *program], check=False)
        if done.returncode:
            sys.exit(done.returncode)
        process = dump.read(written)
    libraries = library.libraries_of(process)
    table, known = b"", []
    for one in libraries:
        entries, functions = frames.rewrite(*one.frames(), len(table))
        table += entries
        known += functions
    baseline.require(process, libraries, sorted(known))
    names = sorted((one for found in libraries for one in found.functions()), key=lambda one: (one.address, one.name))
    (entry,) = [one.entry for one in libraries if one.name == STAND_IN]
    return assemble.assemble(process, bytes.fromhex(identity), entry, names, table + bytes(4))


def main(tree: Path, program: Path, tracer: Path) -> None:
    """Write the image, and print the build ID."""
    folder = tree / "_internal"
    stand_in = folder / STAND_IN
    shutil.copyfile(program, stand_in)
    try:
        identity = build_id(folder)
        (folder / IMAGE).write_bytes(make(folder.resolve(), tracer, identity))
    except (assemble.ImageError, baseline.BaselineError, guards.GuardError, frames.FrameError) as error:
        sys.exit(f"no image: {error}")
    finally:
        stand_in.unlink()
    print(identity)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
