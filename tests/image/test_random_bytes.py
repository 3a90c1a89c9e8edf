"""Each random value that is the same in all processes from one image is named in the documentation."""

import re
import shutil
import subprocess
from pathlib import Path

from tests import requirements
from tests.image import builds
from tests.image.bundles import IMAGE, copy_to

ANSWERS = "static void fill(unsigned long address, size_t size)\n{\n"
# The value's size in bytes at the end of its entry, in the list of what is the same in every process.
PAGES = {"docs/design/security.md": r"(\d+) bytes", "docs/zh/design/security.md": r"(\d+) 字节"}


def test_the_pages_name_all_random_bytes_that_the_tracer_gives(tmp_path: Path) -> None:
    requirements.need_root()
    requirements.need_image()  # the tracer is amd64's
    gcc = requirements.need_program("gcc")
    sources = shutil.copytree(builds.MAKE.parent, tmp_path / "sources", ignore=shutil.ignore_patterns("*.pyc"))
    calls = (sources / "calls.c").read_text()
    assert calls.count(ANSWERS) == 1
    tell = f'#include <stdio.h>\n{ANSWERS}    FILE *told = fopen("{tmp_path}/told", "a");\n'
    tell += '    fprintf(told, "%zu\\n", size), fclose(told);\n'
    (sources / "calls.c").write_text(calls.replace(ANSWERS, tell))
    subprocess.run([gcc, "-std=gnu11", "-O1", "-o", tmp_path / "tracer", *sources.glob("*.c")], check=True)
    done = builds.attempt(copy_to(tmp_path / "bundle", IMAGE).parent, tracer=tmp_path / "tracer")
    assert done.returncode == 0, done.stderr
    given = sorted(int(size) for size in (tmp_path / "told").read_text().split() if int(size))
    for page, pattern in PAGES.items():
        text = (requirements.ROOT / page).read_text()
        section = re.search(r"^## (?:The image|映像)$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
        assert section
        assert sorted(map(int, re.findall(pattern, section[1]))) == given, page
