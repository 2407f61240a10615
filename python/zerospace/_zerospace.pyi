"""The extension module."""

from collections.abc import Sequence

def program(words: Sequence[str]) -> int:
    """Run the program ``zerospace`` with a command line and return its exit code.

    The first word is the path of the program.
    """
