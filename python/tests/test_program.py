"""The program in the wheel is the program, and the package imports without numpy."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import zerospace

PROGRAM = Path(sys.executable).with_name("zerospace")
EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


def test_the_program_has_the_packages_version():
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"zerospace {zerospace.__version__}\n"


def test_a_wrong_argument_has_the_exit_code_of_usage():
    said = subprocess.run([PROGRAM, "inspect"], capture_output=True, text=True)
    assert said.returncode == 2 and "required arguments were not provided" in said.stderr


def test_a_failure_is_one_line():
    said = subprocess.run([PROGRAM, "inspect", "no-such-file"], capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("error: no-such-file: ") and said.stderr.count("\n") == 1


def test_ctrl_c_stops_a_run_that_can_be_resumed(tmp_path):
    experiment = EXPERIMENTS / "reproduce.toml"
    command = [PROGRAM, "reproduce", "--out", tmp_path / "run"]
    assert experiment.is_file()
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert f"resume with: {PROGRAM} reproduce --out " in said.splitlines()[-1]


def test_import_takes_no_numpy():
    code = "import sys, zerospace; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": ""})
