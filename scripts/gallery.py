"""The pictures of docs/figures.md: `python scripts/gallery.py` draws each figure that results/reference has rows for.

The terminal's answers are drawn too. Nothing here needs a browser.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from dvae_bench.bench.report.answers import answers, shortened
from dvae_bench.bench.report.figures.style import lay_out, style
from dvae_bench.bench.report.figures.write import plot
from dvae_bench.bench.report.study import Study
from dvae_bench.bench.run.grids import show_answers
from dvae_bench.bench.store.store import Store
from PIL import Image
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "figures"
TOYS, TRAINING = "results/reference/baseline", "results/reference/mnist-bernoulli"
OTHERS = "results/reference/gallery"
STORED = {
    "variance-cost": TOYS,
    "bias": TOYS,
    "training": TRAINING,
    "kl": TRAINING,
    "samples": TRAINING,
    "smoothing": TOYS,
    "families": TOYS,
    "phases": OTHERS,
    "sweeps": OTHERS,
    "probability": OTHERS,
    "basket": OTHERS,
    "time-to-target": OTHERS,
    "peers": OTHERS,
    "calibration": TOYS,
}
"""Figure -> the stored run that it is drawn from; `host-bound` needs an accelerator."""
LOCAL_FONTS = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)  # rich's are on the web
TERMINAL, ANSWERS, WIDTH, DPI, QUALITY = "terminal.svg", 12, 100, 120, 80


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    studies = {run: Study.of(Store.open(ROOT / run), run) for run in dict.fromkeys(STORED.values())}
    for name, run in STORED.items():
        with style():
            figure = plot(name, studies[run].rows)
            assert not isinstance(figure, str), f"{name} of {run}: {figure}"
            lay_out(figure)
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=DPI)
        Image.open(content).convert("RGB").save(PICTURES / f"{name}.webp", quality=QUALITY, method=6)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    show_answers(shortened(answers(studies[TOYS].rows), ANSWERS), console)
    console.save_svg(str(PICTURES / TERMINAL), title="the answers of a run", code_format=LOCAL_FONTS)


if __name__ == "__main__":
    main()
