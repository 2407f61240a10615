"""Writes the pickles beside it: what CPython's pickle module makes of a checkpoint at each protocol.

PyTorch is replaced by empty classes and functions of its names; a pickle holds only the names.
Run with any Python 3: python3 make.py
"""
import collections, io, pickle, sys, types, argparse

def module(name, **names):
    m = types.ModuleType(name); sys.modules[name] = m
    for k, v in names.items():
        setattr(m, k, v); v.__module__ = name; v.__qualname__ = v.__name__ = k
def function():
    def f(*a): pass
    return f
module("torch", FloatStorage=type("FloatStorage", (), {}))
module("torch._utils", _rebuild_tensor_v2=function(), _rebuild_parameter=function())
module("models", Net=type("Net", (), {}))
import torch, torch._utils, models
torch._utils = sys.modules["torch._utils"]

class Storage: key, count = "7", 6
class Tensor:
    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, (STORAGE, 1, (2, 2), (2, 1), False, collections.OrderedDict())
class Parameter:
    def __reduce__(self):
        return torch._utils._rebuild_parameter, (Tensor(), True, collections.OrderedDict())
STORAGE = Storage()
class Pickler(pickle.Pickler):
    def persistent_id(self, o):
        if isinstance(o, Storage):
            return ("storage", torch.FloatStorage, o.key, "cpu", o.count)

state = collections.OrderedDict(a=Parameter(), b=Tensor())
state._metadata = collections.OrderedDict({"": {"version": 1}})
net = models.Net()
net.__dict__.update(training=True, _parameters={"weight": Tensor()}, _buffers={}, _modules={})
checkpoint = {
    "epoch": 300, "big": 1 << 80, "negative": -5, "lr": 0.1, "done": True, "none": None, "raw": b"\0\1",
    "set": {1, 2}, "frozen": frozenset([3]), "list": [1, [2], (3, 4, 5, 6)], "buffer": bytearray(b"xy"),
    "args": argparse.Namespace(lr=0.1), 5: "five", "model_state_dict": state,
}
def dump(file, o, protocol):
    with open(file, "wb") as out:
        Pickler(out, protocol).dump(o)

for protocol in (2, 3, 4, 5):
    dump(f"protocol{protocol}.pkl", checkpoint, protocol)
dump("whole_module.pkl", {"model": net}, 2)
