"""Shows the figures as tables and as a chart. Side effect: writes the chart."""

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OURS, PLAIN, PEER, LOCAL = "ours", "ours-without-image", "go", "host-local"

# The limits: title, phase, figure, limit as a share of the Go plugin's, from the image and without it (0: no limit).
REACH = (
    ("VERSION, wall", "VERSION", "median_ms", 0.12, 0),
    ("ADD, wall", "ADD", "median_ms", 0.20, 0.65),
    ("ADD, CPU", "ADD", "cpu_ms", 0.17, 0.65),
    ("DEL, wall", "DEL", "median_ms", 0.20, 0.65),
    ("DEL, CPU", "DEL", "cpu_ms", 0.17, 0.65),
    ("300 ADDs, 8 at a time, wall", "300 ADDs, 8 at a time", "total_s", 0.20, 0.65),
    ("300 ADDs, 32 at a time, wall", "300 ADDs, 32 at a time", "total_s", 0.20, 0),
    ("ADD, page cache cold, wall", "ADD, page cache cold", "median_ms", 0.35, 0.8),
    ("ADD, peak RSS", "peak RSS of ADD", "mb", 0.40, 0.55),
    ("ADD, private memory", "private memory of ADD", "mb", 0.30, 0),
)


def summary(walls: list[float], cpus: list[float]) -> dict[str, float]:
    """Return the figures of one variant in one phase; the times are given in seconds."""
    ranked = sorted(walls)
    return {
        "median_ms": 1000 * statistics.median(ranked),
        "p90_ms": 1000 * ranked[int(0.90 * len(ranked))],
        "p99_ms": 1000 * ranked[int(0.99 * len(ranked))],
        "cpu_ms": 1000 * statistics.median(cpus),
        "calls": len(ranked),
    }


def ratio(figures: dict[str, Any], phase: str, figure: str, variant: str = OURS) -> float:
    """Return a variant's figure as a share of the Go plugin's."""
    return float(figures[phase][variant][figure] / figures[phase][PEER][figure])


def show(figures: dict[str, Any], facts: Iterable[str], others: list[tuple[str, float, float]]) -> bool:
    """Print the tables; return whether no limit is exceeded. `others` are more limits: title, limit, measured value."""
    console = Console(width=110)
    table = Table("", "variant", box=None, header_style="bold", pad_edge=False)
    for title in ("median ms", "p90", "p99", "CPU ms", "ratio wall", "ratio CPU"):
        table.add_column(title, justify="right")
    for phase, variants in figures.items():
        if not any("median_ms" in found for found in variants.values()):
            continue
        for name, found in variants.items():
            row = [f"{found[key]:.2f}" for key in ("median_ms", "p90_ms", "p99_ms", "cpu_ms")]
            base = variants.get(PEER)
            shares = [f"{found[key] / base[key]:.2f}" if base else "" for key in ("median_ms", "cpu_ms")]
            total = f" ({found['total_s']:.2f} s in all)" if "total_s" in found else ""
            table.add_row(phase if name == next(iter(variants)) else "", name + total, *row, *shares)
    console.print(table)
    for fact in facts:
        console.print(fact, highlight=False)
    reach = Table("to reach (shares: Go plugin = 1.00)", box=None, header_style="bold", pad_edge=False)
    for title in ("at most", "measured", ""):
        reach.add_column(title, justify="right")
    rows = [(title, limit, ratio(figures, phase, figure)) for title, phase, figure, limit, _ in REACH]
    rows += [
        (f"{title}, without the image", limit, ratio(figures, phase, figure, PLAIN))
        for title, phase, figure, _, limit in REACH
        if limit
    ]
    rows += others
    for title, limit, measured in rows:
        reach.add_row(title, f"{limit:.2f}", f"{measured:.2f}", "ok" if measured <= limit else "MISSED")
    console.print(reach)
    return all(measured <= limit for _, limit, measured in rows)


def chart(figures: dict[str, Any], path: Path) -> None:
    """Draw each share as a bar, with a mark for host-local's; the Go plugin's is 1.00."""
    left, width, step, most = 250, 400, 30, 1.15
    height = step * len(REACH) + 60
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 70} {height}"'
        ' font-family="sans-serif" font-size="13" role="img"'
        ' aria-label="What spiderpool takes, as a share of what the Go plugin takes">',
        f'<rect width="{left + width + 70}" height="{height}" fill="#fff"/>',
        '<text x="9" y="20" font-weight="bold">spiderpool (blue) and host-local (mark) as shares of the Go plugin,'
        " 1.00</text>",
    ]
    for index, (title, phase, figure, *_) in enumerate(REACH):
        share, y = ratio(figures, phase, figure), 38 + step * index
        bar, row = min(share, most) * width, y + 14
        lines += [
            f'<text x="{left - 10}" y="{row}" text-anchor="end">{title}</text>',
            f'<rect x="{left}" y="{y}" width="{width}" height="18" fill="#e4e4e4"/>',
            f'<rect x="{left}" y="{y}" width="{bar:.0f}" height="18" fill="#2f6db3"/>',
            f'<text x="{left + bar - 6:.0f}" y="{row}" text-anchor="end" fill="#fff">{share:.2f}</text>',
        ]
        if LOCAL in figures[phase]:
            local = ratio(figures, phase, figure, LOCAL)
            mark = left + min(local, most) * width
            lines.append(f'<rect x="{mark:.0f}" y="{y - 2}" width="3" height="22" fill="#222"/>')
            if local > most:
                lines.append(f'<text x="{mark - 6:.0f}" y="{row}" text-anchor="end">{local:.2f}</text>')
    path.write_text("\n".join([*lines, "</svg>"]) + "\n")
