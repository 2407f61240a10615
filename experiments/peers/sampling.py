"""Samples: a rate and what it cost, of a Python tool and of the program. Each sample has the share of the machine that
other processes took meanwhile."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet
import torch

IDS = {"faulty": "faulty", "ecc": "secded-72-64", "in-place": "in-place-64-57"}
QUIET = 0.05  # of the machine's cores: more than that for others disturbs a sample


def busy():
    """CPU seconds that all cores have spent on anything."""
    user, nice, system, _, _, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    rate: float  # trials per second
    cpu_ms: float  # of a trial
    used: float  # share of the threads
    others: float
    trials: int
    accuracy: float
    deviation: float | None = None  # standard deviation of the drop between trials, points
    whole: float | None = None  # share of the threads over the whole of a long run


def sample(trials, wall, cpu, threads, others, accuracy, **more):
    return Sample(trials / wall, 1000 * cpu / trials, cpu / wall / threads, others, trials, accuracy, **more)


def python_sample(tool, subject, protection, rate, threads, seconds, rng):
    """Trials until the time is over, at least two."""
    torch.set_num_threads(threads)
    tool.prepare(protection, rate)
    right = [tool.trial(rng)]  # warms up
    start, cpu, all_cpu = time.perf_counter(), time.process_time(), busy()
    while len(right) < 3 or time.perf_counter() - start < seconds:
        right.append(tool.trial(rng))
    wall, cpu, all_cpu = time.perf_counter() - start, time.process_time() - cpu, busy() - all_cpu
    others = (all_cpu - cpu) / wall / os.cpu_count()
    return sample(len(right) - 1, wall, cpu, threads, others, 100 * statistics.fmean(right[1:]) / subject.images)


EXPERIMENT = """name = "peers"
title = "{protection} at {rate:.0e}"
seed = {seed}
trials = {trials}
unit_trials = {unit}
fault_model = "bernoulli"
rates = [{rate:.0e}]
protections = ["{id}"]

[[model]]
label = "{label}"
checkpoint = "{checkpoint}"

[data]
set = "{set}"
split = "test"
images = {images}
"""


class Zerospace:
    """`zerospace run` from start to end: reading, trials, records on disk, tables and a figure. With `drawn`, each trial
    sees a block of the images, drawn anew."""

    def __init__(self, program, subject, seconds, run_seconds, folder, drawn=False):
        self.name = "zerospace, drawn" if drawn else "zerospace"
        self.program, self.subject, self.seconds, self.run_seconds, self.folder = program, subject, seconds, run_seconds, folder
        self.drawn = drawn
        self.counts = {}

    def run(self, protection, rate, threads, trials, unit, seed):
        """Wall and CPU seconds of the process, others' CPU seconds, and the records; in a fresh directory."""
        out, subject = self.folder / "run", self.subject
        shutil.rmtree(out, ignore_errors=True)
        text = EXPERIMENT.format(
            protection=protection, id=IDS[protection], rate=rate, seed=seed, trials=trials, images=subject.images, set=subject.set,
            unit=unit, label=subject.name, checkpoint=subject.checkpoint.resolve())
        if self.drawn:
            text += f"images_per_trial = {subject.drawn}\n"
        file = self.folder / "experiment.toml"
        file.write_text(text)
        command = [self.program, "run", file, "--data", subject.data, "--out", out, "--threads", threads]
        start, all_cpu = time.perf_counter(), busy()
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall, cpu, all_cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime, busy() - all_cpu
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command}: {said.decode()}")
        return wall, cpu, all_cpu - cpu, pyarrow.parquet.read_table(out / "trials.parquet")

    def sample(self, protection, rate, threads, seed):
        """The trials of a long run that a run a quarter as long does not have: without start and end."""
        cell = protection, rate, threads
        if cell not in self.counts:
            base = min(self.run(*cell, 2, 1000, seed)[0] for _ in range(2))
            trials = 16
            while (wall := self.run(*cell, trials, 1000, seed)[0]) < base + self.seconds / 3:
                trials *= 4
            trials = 4 * max(4, round(trials / (wall - base) * self.run_seconds / 4))
            # A unit, which a kill costs, is about a second.
            self.counts[cell] = trials, max(1, round(trials / self.run_seconds))
        trials, unit = self.counts[cell]
        for _ in range(5):
            short, short_cpu, short_others, _ = self.run(*cell, trials // 4, unit, seed)
            long, long_cpu, long_others, records = self.run(*cell, trials, unit, seed)
            if long > short and long_cpu > short_cpu:
                break
        else:
            sys.exit(f"{cell}: a run of {trials} trials is never longer than one of a quarter; raise --run-seconds")
        others = (short_others + long_others) / (short + long) / os.cpu_count()
        correct = records["correct"].to_numpy().astype(float)
        images = self.subject.drawn if self.drawn else self.subject.images
        drop = (records["block_clean_correct"].to_numpy() - correct if self.drawn else -correct) * 100 / images
        return sample(trials - trials // 4, long - short, long_cpu - short_cpu, threads, others, 100 * correct.mean() / images,
                      deviation=float(np.std(drop, ddof=1)), whole=long_cpu / long / threads)


class Patience:
    """Seconds that the whole run may spend on waiting for a quiet machine and on repeating disturbed samples."""

    def __init__(self, seconds):
        self.seconds = seconds

    def wait(self):
        while self.seconds > 0:
            start, all_cpu, own = time.perf_counter(), busy(), time.process_time()
            time.sleep(0.5)
            wall = time.perf_counter() - start
            if (busy() - all_cpu - time.process_time() + own) / wall / os.cpu_count() < 2 * QUIET:
                return
            self.seconds -= wall

    def sample(self, measure):
        """The least disturbed of up to three samples; whether one is disturbed does not depend on its result."""
        self.wait()
        best = measure()
        for _ in range(2):
            if best.others < QUIET or self.seconds <= 0:
                break
            start = time.perf_counter()
            again = measure()
            self.seconds -= time.perf_counter() - start
            best = min(best, again, key=lambda sample: sample.others)
        return best
