"""The console script ``zerospace``: the whole program, in this process."""

import signal
import sys


def main() -> None:
    """Run the program ``zerospace`` with the arguments of this process and exit with its code."""
    # The program handles Ctrl-C itself; Python's handler would wait for an interpreter that is not running.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from zerospace._zerospace import program

    sys.exit(program(sys.argv))
