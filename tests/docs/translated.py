"""Records which English text a Chinese page was made from: `python -m tests.docs.translated docs/X.md …`.

It also leads the links of the Chinese pages to the Chinese page, from where they led to the English one.
"""

import hashlib
import re
import sys
from os.path import normpath, relpath
from pathlib import Path
from typing import Any

import yaml

from tests.test_documents import LINK, ROOT, anchors

RECORD = "docs/zh/translated.yaml"
README = "README.md"
# Where the links of a page that is generated are.
SOURCES = {
    "docs/reference/commands.md": "build/commands.zh.yaml",
    "docs/reference/configuration.md": "build/reference.zh.yaml",
    "docs/reference/metrics.md": "build/monitoring/page.zh.yaml",
    "docs/reference/reports.md": "build/reports.zh.yaml",
}
HEAD = """\
# What docs/zh/ was made from. `python -m tests.docs.translated docs/X.md` writes it, after docs/zh/X.md was translated.
# translated: the SHA-256 of the English text. untranslated: these pages have no Chinese one yet; some are still to be
# written. english_only: these pages are for people who work on the project.
"""


def read_record(root: Path) -> dict[str, Any]:
    record: dict[str, Any] = yaml.safe_load((root / RECORD).read_text())
    return {**record, "translated": record["translated"] or {}, "untranslated": record["untranslated"] or []}


def digest(page: Path) -> str:
    return hashlib.sha256(page.read_bytes()).hexdigest()


def chinese(name: str) -> str:
    """Return the name of the Chinese page of docs/X.md, or of README.md."""
    return f"docs/zh/{name.removeprefix('docs/')}" if name != README else "README.zh-CN.md"


def outdated(root: Path) -> list[str]:
    """Say of each page whose English text is no longer the one that was translated what to do."""
    return [
        f"{name} has changed since {chinese(name)} was translated: translate it, "
        f"then run `python -m tests.docs.translated {name}`"
        for name, recorded in read_record(root)["translated"].items()
        if (root / name).exists() and digest(root / name) != recorded
    ]


def link_in_chinese(root: Path, name: str, link: str) -> str:
    """Return what a Chinese page has in the place of a link of the English page of that name.

    A link leads to the Chinese page where there is one, and below the heading that stands at the same place. The link
    to the other language leads back.
    """
    if re.match(r"[a-z]+:", link):
        return link
    path, hash_, anchor = link.partition("#")
    target = normpath(Path(name).parent / path) if path else name
    to = target
    if target == chinese(name):
        to = name
    elif target in read_record(root)["translated"]:
        to = chinese(target)
        places = dict(zip(anchors(root / target), anchors(root / to), strict=False))
        anchor = places.get(anchor, anchor)
    elif (root / target).with_suffix(".zh.svg").exists():
        to = str(Path(target).with_suffix(".zh.svg"))
    return (relpath(to, Path(chinese(name)).parent) if path else "") + hash_ + anchor


def lead_links(root: Path, name: str) -> None:
    """Lead the links of a Chinese page, and of what it is generated from, to Chinese pages."""
    page = root / chinese(name)

    def led(match: re.Match[str]) -> str:
        path, hash_, anchor = match[1].partition("#")
        target = normpath(Path(chinese(name)).parent / path)
        if not path or re.match(r"[a-z]+:", path) or not target.startswith("docs/") or target.startswith("docs/zh/"):
            return match[0]
        english = relpath(target, Path(name).parent) + hash_ + anchor
        return match[0].replace(f"({match[1]})", f"({link_in_chinese(root, name, english)})")

    for path in (page, *([root / SOURCES[name]] if name in SOURCES else [])):
        path.write_text(LINK.sub(led, path.read_text()))


def record(root: Path, name: str) -> None:
    """Record that the Chinese page of this name says what the English one says now."""
    if not (root / chinese(name)).exists():
        sys.exit(f"{chinese(name)} is not there")
    known = read_record(root)
    known["translated"][name] = digest(root / name)
    known["translated"] = dict(sorted(known["translated"].items()))
    known["untranslated"] = [other for other in known["untranslated"] if other != name]
    (root / RECORD).write_text(HEAD + yaml.safe_dump(known, sort_keys=False))


def main() -> None:
    if not sys.argv[1:]:
        sys.exit("usage: python -m tests.docs.translated docs/X.md …")
    for name in sys.argv[1:]:
        record(ROOT, name)
    for name in read_record(ROOT)["translated"]:
        lead_links(ROOT, name)


if __name__ == "__main__":
    main()
