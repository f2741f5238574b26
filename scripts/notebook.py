"""Execute the notebook of examples/ and store its outputs: `python scripts/notebook.py`. No part of Jupyter is needed.

A cell's outputs are what it prints, the value of its last expression, and the figures of pyplot that are open.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "results.ipynb"


def executed(path: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each code cell of a notebook with the outputs that it has now, executed in the notebook's folder."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(path.parent):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield cell, list(_outputs("".join(cell["source"]), scope))


def _outputs(source: str, scope: dict[str, Any]) -> Iterator[dict[str, Any]]:
    tree, printed, value = ast.parse(source), io.StringIO(), None
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), scope)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), scope)
    if printed.getvalue():
        yield {"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())}
    if value is not None:
        yield {"output_type": "execute_result", "data": _data(value), "metadata": {}}
    for number in pyplot.get_fignums():
        content = io.BytesIO()
        pyplot.figure(number).savefig(content, format="png", dpi=80, metadata={"Software": None})
        pyplot.close(number)
        image = base64.b64encode(content.getvalue()).decode()
        yield {"output_type": "display_data", "data": {"image/png": image}, "metadata": {}}


def _data(value: Any) -> dict[str, list[str]]:
    data = {"text/plain": _lines(repr(value))}
    return data | ({"text/html": _lines(value._repr_html_())} if hasattr(value, "_repr_html_") else {})


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def texts(outputs: list[dict[str, Any]]) -> list[list[str]]:
    """What can be compared on every machine: everything but images and HTML, and that there is an image."""
    return [output.get("text") or output["data"].get("text/plain", ["an image"]) for output in outputs]


def main() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    found = iter(list(executed(NOTEBOOK)))
    for count, cell in enumerate((c for c in notebook["cells"] if c["cell_type"] == "code"), 1):
        outputs = next(found)[1]
        for output in outputs:
            if output["output_type"] == "execute_result":
                output["execution_count"] = count
        cell |= {"execution_count": count, "outputs": outputs}
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
