"""The notebook of the demo: one cell opens the dashboard, the others do the same in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

NAME: Final = "first-transfer.ipynb"
_TEXT: Final = "markdown"
_CODE: Final = "code"
_CELLS: Final = (
    (_TEXT, "# Your first transfer\n\nRun the next cell (Shift+Enter). It shows the gateway, your transfers, your "
            "files and those of your community.\nDrop a file into **Send data**, or paste a URL there. You can close "
            "this page at any time: transfers go on."),
    (_CODE, "from scigate.widgets import dashboard\n\ndashboard()"),
    (_TEXT, "## The same in Python\n\nThe gateway fetches a URL by itself; no byte passes through this notebook."),
    (_CODE, "from scigate.gateway_api.client import Gateway\n\ngateway = Gateway()\n"
            'transfer = gateway.pull("{web}/de421.bsp", "archive:/observatory/", overwrite="overwrite")\n'
            "transfer.wait()"),
    (_TEXT, "It is done, and proven: **B** means that the storage computed the digest of what it holds."),
    (_CODE, 'for entry in gateway.ls("archive:/observatory/"):\n    print(entry.name, entry.size, entry.surl)'),
    (_TEXT, "Any library that knows fsspec reads it: pandas, xarray, dask."),
    (_CODE, 'import fsspec\n\nwith fsspec.open("scigate://archive/observatory/de421.bsp") as file:\n'
            "    print(file.read(8))"),
)  # fmt: skip


def write(path: Path, web: str) -> None:
    """Write the notebook, unless it is there; ``web`` is the address of the HTTP server with the demo's data."""
    if not path.exists():
        path.write_text(json.dumps(_notebook(web), indent=1) + "\n")


def _notebook(web: str) -> dict[str, Any]:
    cells = [_cell(number, kind, text.replace("{web}", web)) for number, (kind, text) in enumerate(_CELLS)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    cell = {"id": f"cell-{number}", "cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == _CODE else {})
