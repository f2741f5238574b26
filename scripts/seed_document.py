"""Run the commands that docs/seed-document.md shows (`run`), and fill in the tables that it names (`fill`).

A command is a line of a code block that begins with `dvae-bench run` and has `-o results/seed/SECTION`. The tables and
figures of its run that the page shows are kept below results/reference/seed/SECTION. A table is a line

    <!-- table: SECTION/NAME: column; column; ... -->

and the lines of the table after it. The section between two lines `<!-- ranking: ... -->` is that of
`pages.boltzmann`. `run SECTION ...` runs those sections only; `fill --check` only compares.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from pages import boltzmann
from pages.wrap import wrapped

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "seed-document.md"
KEPT = ROOT / "results" / "reference" / "seed"
TABLE = re.compile(r"(<!-- table: (\S+)/(\S+): (.+?) -->\n)(?:\|.*\n)*")
RANKING = re.compile(r"(<!-- ranking: begin -->\n).*(<!-- ranking: end -->)", re.DOTALL)
FIGURE = re.compile(r"\]\(\.\./results/reference/seed/(\S+?)/(figures/\S+?)\)")


def commands(page: str) -> dict[str, list[str]]:
    """The commands of the page by section, each as arguments of dvae-bench."""
    found: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n\s*", "", page).splitlines():
        section = re.search(r"-o results/seed/(\S+)", line)
        if line.startswith("dvae-bench run") and section:
            found[section.group(1)] = shlex.split(line)[1:]
    return found


def run(page: str, sections: list[str]) -> None:
    for section, arguments in commands(page).items():
        if sections and section not in sections:
            continue
        print(f"{section}: dvae-bench {shlex.join(arguments)}", flush=True)
        subprocess.run([sys.executable, "-m", "dvae_bench.cli", *arguments], cwd=ROOT, check=True)
        keep(page, section)


def keep(page: str, section: str) -> None:
    """Copy the files of a run that the page shows, and its context, to results/reference/seed."""
    kept = KEPT / section
    shutil.rmtree(kept, ignore_errors=True)
    for name in shown(page, section):
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "results" / "seed" / section / name, kept / name)


def shown(page: str, section: str) -> list[str]:
    """The files of a section's run that the page shows, and the run's context."""
    tables = [f"tables/{found[3]}.md" for found in TABLE.finditer(page) if found[2] == section]
    figures = [found[2] for found in FIGURE.finditer(page) if found[1] == section]
    return ["context.json", *tables, *figures]


def filled(page: str) -> str:
    """The page with every table, and the section on the ranking, filled from the stored results."""
    page = RANKING.sub(lambda found: f"{found[1]}\n{wrapped(boltzmann.section())}\n\n{found[2]}", page)
    return TABLE.sub(lambda found: found[1] + table(found[2], found[3], found[4].split("; ")), page)


def table(section: str, name: str, columns: list[str]) -> str:
    """The named columns of a stored Markdown table. Raises ValueError for a missing column."""
    lines = (KEPT / section / "tables" / f"{name}.md").read_text(encoding="utf-8").splitlines()
    header, _, *body = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    places = [[cell.strip() for cell in header].index(column) for column in columns]
    rows = [[line[place].strip() for place in places] for line in body]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [columns, ["---"] * len(columns), *rows])


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    if sys.argv[1] == "run":
        run(page, sys.argv[2:])
    elif (wanted := filled(page)) != page:
        if "--check" in sys.argv:
            sys.exit("docs/seed-document.md is stale: run `make docs`")
        PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
