"""The notebooks run from top to bottom."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((PYTHON / "notebooks").glob("*.ipynb"))


def cells(notebook):
    """The code of a notebook, cell by cell."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def test_there_are_three():
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path):
    code = cells(notebook)
    if any("import torch" in cell for cell in code):
        pytest.importorskip("torch", reason="NOT INSTALLED: torch; notebooks with torch are not executed")
    folder = tmp_path / "python" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "experiments").symlink_to(PYTHON.parent / "experiments")
    script = folder / "notebook.py"
    script.write_text("\n".join(code), encoding="utf-8")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    ran = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(notebook):
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in content["cells"]) and notebook.stat().st_size < 20_000
