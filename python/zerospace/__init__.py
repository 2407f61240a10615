"""Fault injection into the memory of int8 neural networks, bit for bit.

>>> import zerospace
>>> zerospace.__version__.count(".")
2
"""

from importlib.metadata import version as _version

__all__ = ["__version__"]
__version__ = _version("zerospace")
