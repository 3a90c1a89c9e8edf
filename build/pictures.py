"""Draw the pictures of the documentation: docs/pictures/*.dot with the words of labels.yaml, in each language, as SVG.

`python build/pictures.py` writes NAME.svg (English) and NAME.zh.svg (Chinese) beside NAME.dot. With --check it writes
nothing, and fails if a picture differs. Another version of dot places things otherwise, so tests/docs asks for VERSION.
Side effects: runs graphviz' dot, writes the pictures.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any
from xml.sax.saxutils import quoteattr

import yaml

PICTURES = Path(__file__).parents[1] / "docs/pictures"
VERSION = "2.43.0"  # Debian 12's graphviz

# dot measures the words in the first font of a language, so readers without it get one that is no wider.
_FONTS = {
    "en": ("DejaVu Sans", "Verdana,Helvetica,Arial,sans-serif"),
    "zh": ("Noto Sans CJK SC", "PingFang SC,Microsoft YaHei,sans-serif"),
}
# A light card with dark words can be read on a light page and on a dark one. Each colour says whose a thing is.
_LOOK = """
    graph [bgcolor="#f6f8fa", pad=0.25, fontname="$font", fontsize=12, fontcolor="#24292f", color="#8c959f",
           style=rounded]
    node [shape=box, style="rounded,filled", fillcolor="#ffffff", color="#57606a", fontname="$font", fontsize=12,
          fontcolor="#24292f", margin="0.2,0.1"]
    edge [color="#57606a", fontname="$font", fontsize=11, fontcolor="#24292f", arrowsize=0.8]
"""
_OURS = 'fillcolor="#dbeafe", color="#2f6db3"'
_CALICO = 'fillcolor="#ffedd5", color="#b45309"'
_SPIDERPOOL = 'fillcolor="#dcfce7", color="#15803d"'


def draw(source: Path, labels: dict[str, dict[str, str]], language: str) -> str:
    """Return the picture of a source in a language. KeyError for a label that is missing."""
    font, others = _FONTS[language]
    words = {name: _quoted(one[language]) for name, one in labels.items()}
    look = Template(_LOOK).substitute(font=font)
    text = Template(source.read_text()).substitute(words, look=look, ours=_OURS, calico=_CALICO, spiderpool=_SPIDERPOOL)
    drawn = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True, timeout=60)  # noqa: S607
    if drawn.stderr:
        sys.exit(f"dot says of {source}: {drawn.stderr}")
    return tidy(drawn.stdout, f"{font},{others}", labels["title"][language])


def tidy(svg: str, fonts: str, title: str) -> str:
    """Return the SVG without what a reader does not need: comments with versions, and the names of nodes."""
    svg = re.sub(r"<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*|<!--.*?-->\s*|<title>.*?</title>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?:node|edge|clust|graph)\d+"| xml:space="preserve"', "", svg)
    svg = re.sub(r'font-family="[^"]*"', f'font-family="{fonts}"', svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label={quoteattr(title)} ', 1)


def pictures() -> Iterator[tuple[Path, str]]:
    """Yield each picture's file and what it has to hold."""
    labels: dict[str, Any] = yaml.safe_load((PICTURES / "labels.yaml").read_text())
    for source in sorted(PICTURES.glob("*.dot")):
        for language in _FONTS:
            name = source.stem + (".svg" if language == "en" else f".{language}.svg")
            yield source.with_name(name), draw(source, labels[source.stem], language)


def _quoted(label: str) -> str:
    """Return the inside of a string in dot's language, with spaces that keep an edge's words away from its line."""
    lines = label.strip().replace("\\", "\\\\").replace('"', '\\"').splitlines()
    return "\\n".join(f" {line} " for line in lines)


def main() -> None:
    """Write the pictures that differ; with --check name them, and fail."""
    stale = {path: text for path, text in pictures() if not path.exists() or path.read_text() != text}
    if "--check" in sys.argv[1:]:
        sys.exit("".join(f"{path} is not what its source says: run `make pictures`\n" for path in stale) or 0)
    for path, text in stale.items():
        path.write_text(text)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
