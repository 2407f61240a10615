"""Recomputes a campaign of single faults from the specification alone, without the program that made it.

    python3 recompute_single_faults.py RUN CHECKPOINT [--faults N] [--images FILE]

RUN is a run directory with manifest.json and faults.parquet. The program draws the sample again and compares it with the
table. With the evaluation images in FILE, in the binary form of CIFAR-10, it also evaluates N of the faults, evenly spread over the table,
and compares their records. S141 and so on name the statements of the pages beside this file. The program needs numpy, and
pandas with pyarrow.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np

from recompute import Checkpoint, Stream, images_of
from recompute_network import logits


def strata(division, sizes):
    """The faults of each stratum, ascending (S141)."""
    ends = np.cumsum(sizes)
    tensors = [np.arange(end - size, end) for size, end in zip(sizes, ends)]
    parts = tensors if division in ("tensor", "both") else [np.arange(ends[-1])]
    if division in ("bit", "both"):
        return [8 * weights + bit for weights in parts for bit in range(8)]
    return [(8 * weights[:, None] + np.arange(8)).ravel() for weights in parts]


def drawn(spec):
    """The faults of a campaign (S142, S143)."""
    sample = spec["sample"]
    parts = strata(sample["strata"], [tensor["weights"] for tensor in spec["tensors"]])
    if sample["exhaustive"]:
        return np.sort(np.concatenate(parts))
    e, p = sample["margin"], sample["expected_rate"]
    t = NormalDist().inv_cdf(0.5 + sample["confidence"] / 2)
    faults = []
    for number, part in enumerate(parts):
        size = math.ceil(len(part) / (1 + (e * e * (len(part) - 1)) / (t * t * p * (1 - p))))
        places = Stream(spec["seed"], b"single", number).distinct(len(part), min(max(size, 1), len(part)))
        faults.append(part[places])
    return np.sort(np.concatenate(faults))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--images", type=Path)
    arguments = parser.parse_args()
    import pandas

    manifest = json.loads((arguments.run / "manifest.json").read_text())
    spec, table = manifest["spec"], pandas.read_parquet(arguments.run / "faults.parquet").astype(int)
    checkpoint = Checkpoint(arguments.checkpoint)
    wrong = []

    def compare(what, is_, expected):
        if is_ != expected:
            wrong.append(f"{what} is {is_}, the run says {expected}")

    compare("the checkpoint", checkpoint.digest(), spec["network"])
    sizes = {name: tensor.size for name, tensor in checkpoint.weights.items()}
    compare("the tensors", sizes, {tensor["name"]: tensor["weights"] for tensor in spec["tensors"]})
    compare("the sample", drawn(spec).tolist(), (8 * table["weight"] + table["bit"]).tolist())
    count = 0
    if arguments.images is not None:
        pixels, labels, digest = images_of(arguments.images, spec["evaluation"]["images"])
        compare("the digest of the images", digest, spec["evaluation"]["digest"])
        clean = logits(checkpoint, checkpoint.weights, pixels)
        classes = clean.argmax(1)
        compare("clean_correct", int((classes == labels).sum()), manifest["network"]["clean_correct"])
        ends = np.cumsum(list(sizes.values()))
        for _, row in table.iloc[np.linspace(0, len(table) - 1, arguments.faults).astype(int)].iterrows():
            tensor = int(np.searchsorted(ends, row["weight"], "right"))
            name = list(sizes)[tensor]
            weights = {**checkpoint.weights, name: checkpoint.weights[name].copy()}
            flat = weights[name].reshape(-1).view(np.uint8)
            flat[row["weight"] - ends[tensor] + sizes[name]] ^= 1 << row["bit"]
            found = logits(checkpoint, weights, pixels)
            differ = (found.view(np.uint32) != clean.view(np.uint32)).any(1)
            record = [int(differ.sum()), int((found.argmax(1) != classes).sum()), int((found.argmax(1) == labels).sum())]
            compare(f"bit {row['bit']} of weight {row['weight']}", record, [int(row[c]) for c in ("logits", "top1", "correct")])
            count += 1
    print("\n".join(wrong + [f"{len(table)} faults drawn and {count} evaluated, {len(wrong)} comparisons differ"]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
