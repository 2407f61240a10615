"""Whole fault-injection trials per second: zerospace, a plain PyTorch loop, PyTorchFI and MRFI, on the same int8
networks, the same images and the same threads; and the memory of a trial beside FaultForge. README.md beside this file has
the commands.

    python measure.py sample --samples FILE ...    # adds samples to a file
    python measure.py report --samples FILE > peers.md
"""

import argparse
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

import report
from memory import check_codes
from networks import subjects
from sampling import QUIET, Patience, Zerospace, python_sample
from tools import Mrfi, Plain, PyTorchFI

SEED = 2019
DISTURBED = 0.35  # of the machine's cores: with this much for others, a sample is not shown
WEIGHTS = 11_678_912  # bytes of the memories that are compared, those of crates/campaign/benches/trial.rs
MEMORY_RATES = [1e-5, 1e-4, 1e-3]
MEMORY_IDS = ["secded-72-64", "in-place-64-57", "mset-8", "cep-8"]


def measure(subject, options, out):
    """Samples of every cell and tool of a network; each is written when it is there."""
    checkpoint, x, y = subject.load()
    check_codes(checkpoint)
    tools = [Plain(subject, checkpoint, x, y, skip=False), Plain(subject, checkpoint, x, y, skip=True),
             PyTorchFI(subject, checkpoint, x, y), Mrfi(subject, checkpoint, x, y)]
    out(kind="network", network=subject.name, title=subject.title, digest=checkpoint.digest, images=subject.images,
        drawn=subject.drawn, batch=subject.batch, clean={tool.name: 100 * tool.clean / subject.images for tool in tools})
    cells = [(protection, rate) for protection in subject.protections for rate in subject.rates]
    names = options.cells.split(",") if options.cells else []
    wanted = [cell for cell in cells if not names or f"{cell[0]}:{cell[1]:.0e}" in names]
    chosen = options.tools.split(",") if options.tools else []
    rng = np.random.default_rng(SEED)
    patience = Patience(options.patience)
    with tempfile.TemporaryDirectory() as folder:
        programs = [Zerospace(options.zerospace, subject, options.seconds, options.run_seconds, Path(folder), drawn)
                    for drawn in (False, True)]
        for number in range(options.rounds):
            for threads in map(int, options.threads.split(",")):
                for cell in ((*cell, threads) for cell in wanted):
                    # Drawn images change the time of a trial alike on any number of threads.
                    turns = [*programs[:2 if threads == 1 else 1], *(tool for tool in tools if tool.can(*cell[:2]))]
                    turns = [tool for tool in turns if not chosen or tool.name.split(",")[0] in chosen]
                    for tool in turns if number % 2 == 0 else turns[::-1]:
                        if isinstance(tool, Zerospace):
                            found = patience.sample(lambda: tool.sample(*cell, SEED + number))
                        else:
                            found = patience.sample(lambda: python_sample(tool, subject, *cell, options.seconds, rng))
                        out(kind="sample", network=subject.name, tool=tool.name, protection=cell[0], rate_of_flips=cell[1],
                            threads=threads, **asdict(found))
                        print(f"{subject.name}, {tool.name}, {cell[0]} {cell[1]:.0e}, {threads} threads: {found.rate:.2f} trials/s, "
                              f"others {100 * found.others:.0f} %", file=sys.stderr, flush=True)


def measure_memory(options, out):
    """A trial's memory: FaultForge under its own Python, and the program of the benchmark of zerospace-campaign."""
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    script = Path(__file__).with_name("faultforge_memory.py")
    for line in said(*options.faultforge_python.split(), script, WEIGHTS, 1, *MEMORY_RATES, env=environment).splitlines():
        out(kind="faultforge", **json.loads(line))
    for line in said(options.trial_bench, env=environment).splitlines() if options.trial_bench else []:
        fields = line.split()
        if len(fields) == 7 and fields[0] in MEMORY_IDS and float(fields[1]) in MEMORY_RATES:
            out(kind="trial", name=fields[0], rate=float(fields[1]), seconds=float(fields[3]) / 1e6)


def said(*command, env=None):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, env=env).stdout.strip()


def environment(options):
    """The machine and the versions, for the head of the page."""
    cpu = next((l.split(": ")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    program = hashlib.sha256(options.zerospace.read_bytes()).hexdigest()[:16]
    packages = ["torch", "torchvision", "pytorchfi", "MRFI", "numpy"]
    return dict(
        machine=f"{cpu}{options.machine}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        program=f"{said(options.zerospace, '--version')} (SHA-256 of the program {program}{options.built_from and ', built from ' + options.built_from})",
        packages=f"Python {platform.python_version()}, " + ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages))


def page(records):
    """Prints the page."""
    of = lambda kind: [record for record in records if record["kind"] == kind]
    pieces = of("piece")
    kept = [record for record in of("sample") if record["others"] < DISTURBED]
    others = sorted(record["others"] for record in kept)
    median, tenth, most = (100 * max(0, others[int(q * (len(others) - 1))]) for q in (0.5, 0.9, 1))
    faultforge = of("faultforge")
    version = f", FaultForge {faultforge[0]['version']} under its own Python" if faultforge else ""
    heads = list(dict.fromkeys((p["machine"], p["program"], p["packages"]) for p in pieces))
    assert len(heads) == 1, f"samples of one machine and one program, got {heads}"
    machine, program, packages = heads[0]
    commands = "\n".join(f"python experiments/peers/measure.py {p['command']}" for p in pieces)
    print(f"""# Trials a second, beside PyTorch, PyTorchFI, MRFI and FaultForge

[`measure.py`](../../../experiments/peers/measure.py) printed this page from the samples of the commands below. Its
[README](../../../experiments/peers/README.md) explains how to make the checkpoints and the environments, what each
tool does, and the limits of the comparison.

```sh
{commands}
python experiments/peers/measure.py report --samples SAMPLES > peers.md
```

- Machine: {machine}. Share of other processes during a sample: median {median:.0f} %, a tenth of the samples {tenth:.0f} % or more, at most {most:.0f} %;
  samples with {100 * QUIET:.0f} % or more were repeated while the patience lasted, and samples with {100 * DISTURBED:.0f} % or more are left out.
- {program}; {packages}{version}.
- Tools take turns within a cell. Values: median (smallest to largest), if there are several rounds. A sample is --seconds of trials of a Python tool, at least
  two trials, or the difference between two runs of `zerospace run --threads N`, of about --run-seconds and a quarter of that.""")
    networks = {network["network"]: network for network in of("network")}
    for name, network in networks.items():
        clean = ", ".join(f"{tool} {value:.1f} %" for tool, value in network["clean"].items())
        print(f"\n## {network['title']}\n\nInt8 checkpoint {network['digest'][:16]}, the first {network['images']:,} test images, batches of "
              f"{network['batch']} in PyTorch, blocks of {network['drawn']} drawn images. Fault-free: {clean}.")
        for threads in sorted({r["threads"] for r in kept if r["network"] == name}):
            report.Cells(kept, name, threads).print(threads)
    if faultforge:
        report.memory(faultforge, {(r["name"], r["rate"]): r["seconds"] for r in of("trial")}, WEIGHTS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sample", "report"])
    parser.add_argument("--samples", type=Path, required=True, help="file of JSON lines; sample adds to it")
    parser.add_argument("--zerospace", type=Path, help="the program")
    parser.add_argument("--data", type=Path, help="holds cifar10/ and imagenet/val/")
    parser.add_argument("--resnet20", type=Path, help="checkpoint, from zerospace quantize --throttle")
    parser.add_argument("--squeezenet", type=Path, help="checkpoint, from zerospace quantize")
    parser.add_argument("--faultforge-python", help="command of a Python with FaultForge")
    parser.add_argument("--trial-bench", type=Path, help="program of cargo bench -p zerospace-campaign --bench trial")
    parser.add_argument("--parts", default="resnet20,squeezenet,memory")
    parser.add_argument("--cells", default="", help="only these: protection:rate,... as faulty:1e-06")
    parser.add_argument("--tools", default="", help="only these: zerospace,PyTorch,PyTorchFI,MRFI")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3, help="of a Python tool's sample")
    parser.add_argument("--run-seconds", type=float, default=6, help="of zerospace's long run")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait and repeat where others disturb")
    parser.add_argument("--machine", default="", help="what the name of the processor does not say, for the report")
    parser.add_argument("--built-from", default="", help="what the program was built from, for the report")
    options = parser.parse_args()
    if options.what == "report":
        return page([json.loads(line) for line in options.samples.read_text().splitlines()])
    logging.disable(logging.INFO)

    def out(**record):
        with options.samples.open("a") as file:
            print(json.dumps(record), file=file)

    parts = options.parts.split(",")
    shown = ["parts", *(name for name in ("cells", "tools") if getattr(options, name)), "threads", "rounds", "seconds", "run_seconds", "patience"]
    command = "sample --samples SAMPLES ... " + " ".join(f"--{name.replace('_', '-')} {getattr(options, name)}" for name in shown)
    out(kind="piece", command=command, **environment(options))
    for subject in subjects(options):
        if subject.name in parts:
            measure(subject, options, out)
    if "memory" in parts:
        measure_memory(options, out)


if __name__ == "__main__":
    main()
