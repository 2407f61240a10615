"""The Python blocks of the manual's chapters run, page by page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "src"
PAGES = ["python-first-campaign.md", "python-torch.md", "python-evaluator.md", "python-protection.md"]


def test_the_whole_script_runs(tmp_path):
    pytest.importorskip("torch", reason="NOT INSTALLED: torch; the script of the manual is not executed")
    script = (MANUAL / "python.md").read_text(encoding="utf-8").split("## A whole script")[1].split("```python\n")[1].split("```")[0]
    assert len(script.splitlines()) <= 25
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    ran = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    rows = [line.split() for line in ran.stdout.splitlines()]
    assert [row[0] for row in rows[::2]] == ["faulty", "secded-72-64", "in-place-64-57"]
    assert all(-1 <= float(row[2]) <= 1 for row in rows)


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page, tmp_path):
    blocks = re.findall("^```python\n(.*?)^```$", (MANUAL / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    if any("import torch" in block for block in blocks):
        pytest.importorskip("onnx", reason="NOT INSTALLED: torch, onnx; a page of the manual is not executed")
        pytest.importorskip("torch", reason="NOT INSTALLED: torch, onnx; a page of the manual is not executed")
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
