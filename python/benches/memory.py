"""Time of a memory with the 11.7 million weights of a ResNet-18: to store them, and to draw and read one trial.

    RAYON_NUM_THREADS=1 taskset -c 0 python benches/memory.py
"""

import time

import numpy as np

import zerospace

WEIGHTS = 11_689_512
REPETITIONS = 7


def best(work):
    """The shortest of several times of some work, in ms, and its result."""
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        result = work()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times), result


def main():
    weights = {"weights": np.random.default_rng(1).integers(-64, 64, WEIGHTS, dtype=np.int8)}
    print(f"{WEIGHTS} weights, bit error rate 1e-3, best of {REPETITIONS}")
    for protection in ["faulty", "secded-72-64", "in-place-64-57"]:
        store, memory = best(lambda: zerospace.Memory(weights, protection))
        draw, faults = best(lambda: memory.faults(rate=1e-3, seed=1))
        read, _ = best(lambda: memory.read(faults).weights)
        print(
            f"{protection:15} store {store:6.1f} ms, draw {draw:5.1f} ms, read {read:5.1f} ms, "
            f"together {store + draw + read:6.1f} ms"
        )


if __name__ == "__main__":
    main()
