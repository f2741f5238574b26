"""Write the generated pages of docs/ and the generated parts of the README, and wrap the prose of all pages.

A module of `scripts/pages/` writes each generated page; everything below docs/estimators/ is generated.
--check writes nothing and exits with 1 if a page is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pages import api, commands, estimators, figures, plugins, policy_gradients, protocols, published, readme, which
from pages.wrap import wrapped

DOCS = Path(__file__).resolve().parent.parent / "docs"
BY_HAND = ("../CHANGELOG.md", "../CONTRIBUTING.md", "../results/README.md")


def main() -> None:
    written = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path.parent.name != "estimators"]
    pages = {name: (DOCS / name).read_text(encoding="utf-8") for name in (*written, *BY_HAND)}
    pages = {name: api.linked(name, text) for name, text in pages.items()}
    pages |= {
        "api.md": api.page(),
        "plugins.md": plugins.page(),
        "protocols.md": protocols.page(),
        "published.md": published.page(),
        "policy-gradients.md": policy_gradients.page(),
        "commands.md": commands.page(),
        "figures.md": figures.page(),
        "which-estimator.md": which.page(),
        "../README.md": readme.page(),
    }
    wanted = {name: wrapped(text) for name, text in (pages | estimators.pages()).items()}
    found = {path.relative_to(DOCS).as_posix() for path in (DOCS / "estimators").glob("*.md")}
    stale = sorted(found - set(wanted))
    for name, text in wanted.items():
        path = DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if "--check" in sys.argv and stale:
        sys.exit(f"docs are stale: {', '.join(stale)}; run `make docs`")
    for name in stale:
        (DOCS / name).parent.mkdir(exist_ok=True)
        if name in wanted:
            (DOCS / name).write_text(wanted[name], encoding="utf-8")
        else:
            (DOCS / name).unlink()


if __name__ == "__main__":
    main()
