"""Write the pages of docs/ and docs/zh/ that are made of what the program says: `make spec` runs this.

Each module of SOURCES has a function `publish`, which returns what its pages have to hold. With --check nothing is
written, and a page that differs is a failure. Side effect: writes the pages.
"""

import runpy
import sys
from pathlib import Path

BUILD = Path(__file__).parent
SOURCES = ("reference.py", "commands_page.py", "monitoring/page.py", "chart/values.py")


def publish() -> dict[Path, str]:
    """Return what each page has to hold."""
    pages: dict[Path, str] = {}
    for source in SOURCES:
        pages |= runpy.run_path(str(BUILD / source))["publish"]()
    return pages


def main() -> None:
    """Write the pages that differ; with --check name them, and fail."""
    stale = {path: text for path, text in publish().items() if not path.exists() or path.read_text() != text}
    if "--check" in sys.argv[1:]:
        sys.exit("".join(f"{path} is not what the program says: run `make spec`\n" for path in stale) or 0)
    for path, text in stale.items():
        path.write_text(text)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
