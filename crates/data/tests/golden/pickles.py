"""Makes the files of pickles/: Python 3.11.7, numpy 2.4.6.

Every file holds the same two images, in a form that torchvision's files take when they are pickled again.

python3 pickles.py pickles
"""
import pickle
import sys

import numpy as np

out = sys.argv[1]


def pixels(index):
    """As `pixels` of fixtures.rs, CHW."""
    i = np.arange(3072)
    return ((i * 7 + i // 32 * 3 + index * 31) % 251).astype(np.uint8)


DATA = np.stack([pixels(0), pixels(1)])
NAMES = ["a.png", "b.png"]


def write(name, protocol, value):
    with open(f"{out}/{name}", "wb") as file:
        pickle.dump(value, file, protocol=protocol)


for protocol in [2, 3, 4, 5]:
    # The form that `pickle.load(file, encoding="bytes")` returns for the published files.
    write(
        f"bytes-{protocol}",
        protocol,
        {b"batch_label": b"testing batch 1 of 1", b"labels": [7, 3], b"data": DATA, b"filenames": [n.encode() for n in NAMES]},
    )
# The form with `encoding="latin1"`.
write("text-4", 4, {"batch_label": "testing batch 1 of 1", "labels": np.array([7, 3]), "data": DATA, "filenames": NAMES})
write("fortran-2", 2, {"data": np.asfortranarray(DATA), "labels": [np.int64(7), np.uint8(3)]})
write("fortran-5", 5, {"data": np.asfortranarray(DATA), "labels": np.array([7, 3], ">i2")})
write("images-5", 5, {"data": DATA.reshape(2, 3, 32, 32), "labels": (7, 3)})
write("lists-4", 4, {"data": DATA.tolist(), "labels": [7, 3]})
write("rows-4", 4, {"data": [DATA[0], DATA[1].astype(np.int16)], "labels": [7, 3]})
# CIFAR-100.
write("fine-4", 4, {b"filenames": NAMES, b"fine_labels": [53, 99], b"coarse_labels": [4, 13], b"data": DATA})
