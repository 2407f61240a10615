"""The page of the measurement, from its samples."""

import math
import statistics

QUANTILE = 1.96  # of a 95 % interval
HALF_WIDTH = 1  # points


def spread(values, form):
    middle = form(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form(min(values))} to {form(max(values))})"


def rate_text(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def time_text(seconds):
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def percent(value):
    return f"{100 * value:.0f}"


def trials_needed(deviation):
    """Trials at which the normal interval of the mean has the wanted half width, at least the two that an interval needs."""
    return max(2, math.ceil((QUANTILE * deviation / HALF_WIDTH) ** 2))


def table(header, rows):
    print(f"| {' | '.join(header)} |\n|---|{'---:|' * (len(header) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


class Cells:
    """The samples of one network on one number of threads, by tool, protection and rate."""

    def __init__(self, records, network, threads):
        self.found = {}
        for r in records:
            if (r["network"], r["threads"]) == (network, threads):
                self.found.setdefault((r["tool"], r["protection"], r["rate_of_flips"]), []).append(r)
        self.cells = list(dict.fromkeys((protection, rate) for _, protection, rate in self.found))
        self.tools = list(dict.fromkeys(tool for tool, _, _ in self.found))
        self.peers = [tool for tool in self.tools if not tool.startswith("zerospace")]

    def median(self, tool, cell, field):
        found = self.found.get((tool, *cell))
        return statistics.median(sample[field] for sample in found) if found else None

    def each(self, tools, form):
        for cell in self.cells:
            yield [f"{cell[0]} {cell[1]:.0e}"] + [form(tool, cell) if (tool, *cell) in self.found else "" for tool in tools]

    def print(self, threads):
        plural = "s" * (threads > 1)
        print(f"\n### {threads} thread{plural}\n\nTrials per second:\n")
        whole = ["zerospace", *self.peers]
        table(["cell", *whole], self.each(whole, lambda tool, cell: spread(
            [sample["rate"] for sample in self.found[(tool, *cell)]], rate_text)))
        print("\nSpeed of zerospace relative to the peer, by wall time, and in brackets by CPU time per trial (medians):\n")
        table(["cell", *self.peers], self.each(self.peers, self.ratio))
        print(f"""
Time to an interval of ±{HALF_WIDTH} point: `sd` is the standard deviation of the drop between the trials of our long runs, in points, and the
number of trials follows from it. It is the same experiment under every tool, so all tools need this number. In the last columns, each
trial sees a block of images, drawn anew:
""")
        drawn = "zerospace, drawn" in self.tools
        header = ["cell", "sd", "trials", *whole] + (["drawn: sd", "trials", "zerospace, drawn"] if drawn else [])
        table(header, self.costs(whole, drawn))
        print(f"\nCPU used, % of {threads} thread{plural}, and mean accuracy of all measured trials, %:\n")
        names = [f"{name}, {what}" for what in ("CPU", "accuracy") for name in whole]
        used = self.each(whole, lambda tool, cell: percent(self.median(tool, cell, "used")))
        accuracies = self.each(whole, lambda tool, cell: f"{self.accuracy(tool, cell):.2f}")
        table(["cell", *names], (a + b[1:] for a, b in zip(used, accuracies)))

    def ratio(self, tool, cell):
        if ("zerospace", *cell) not in self.found:
            return ""
        wall = self.median("zerospace", cell, "rate") / self.median(tool, cell, "rate")
        cpu = self.median(tool, cell, "cpu_ms") / self.median("zerospace", cell, "cpu_ms")
        return f"{rate_text(wall)} ({rate_text(cpu)})"

    def accuracy(self, tool, cell):
        found = self.found[(tool, *cell)]
        return sum(s["accuracy"] * s["trials"] for s in found) / sum(s["trials"] for s in found)

    def costs(self, whole, drawn):
        for cell in self.cells:
            if any((name, *cell) not in self.found for name in ["zerospace"] + ["zerospace, drawn"] * drawn):
                continue
            deviation = self.median("zerospace", cell, "deviation")
            trials = trials_needed(deviation)
            rates = [self.median(tool, cell, "rate") for tool in whole]
            row = [f"{cell[0]} {cell[1]:.0e}", f"{deviation:.2f}", f"{trials:,}"] + [time_text(trials / r) if r else "" for r in rates]
            if drawn:
                deviation = self.median("zerospace, drawn", cell, "deviation")
                trials = trials_needed(deviation)
                row += [f"{deviation:.2f}", f"{trials:,}", time_text(trials / self.median("zerospace, drawn", cell, "rate"))]
            yield row


def memory(faultforge, ours, weights):
    """Injection and decoding of equal memory."""
    print(f"""
## Injection and decoding of equal memory, one thread

{weights:,} bytes of weights: int8 weights in zerospace, f32 weights in FaultForge. MB/s of weights; a trial of FaultForge copies the
encoded memory, draws and flips bits, and decodes all of it. A trial of zerospace draws flips and decodes the words that they hit.
""")
    rates = list(dict.fromkeys(record["rate"] for record in faultforge))
    rows = []
    for name in dict.fromkeys(record["name"] for record in faultforge):
        found = {record["rate"]: record for record in faultforge if record["name"] == name}
        rows.append([f"FaultForge, {name}"] + [rate_text(weights / found[rate]["seconds"] / 1e6) for rate in rates])
        rows.append([f"FaultForge, {name}, only decoding"] + [rate_text(weights / found[rate]["decode"] / 1e6) for rate in rates])
    for name in dict.fromkeys(name for name, _ in ours):
        rows.append([f"zerospace, {name}"] + [rate_text(weights / ours[name, rate] / 1e6) for rate in rates])
    table(["memory"] + [f"{rate:.0e}" for rate in rates], rows)
