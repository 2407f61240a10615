"""Writes the pickles beside it with NumPy (2.4.6): python3 make.py"""
import os, pickle
import numpy as np

array = np.array([[1, 2, 3], [4, 5, 6]], "<f4")
files = {f"array{protocol}.pkl": pickle.dumps(array, protocol) for protocol in (1, 2, 3, 4, 5)}
fortran = np.asfortranarray(array[:, :2])
files["fortran4.pkl"], files["fortran5.pkl"] = pickle.dumps(fortran, 4), pickle.dumps(fortran, 5)
files["big-endian.pkl"] = pickle.dumps(np.array([258], ">i2"), 4)
files["bytes2.pkl"] = pickle.dumps(np.array([200, 1], "u1"), 2)
files["scalar2.pkl"] = pickle.dumps(np.float64(93.5), 2)
files["scalar4.pkl"] = pickle.dumps(np.int64(7), 4)
files["objects.pkl"] = pickle.dumps(np.array([None], object), 4)
for name, content in files.items():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "wb") as file:
        file.write(content)
