"""Time of a campaign with an evaluator in torch, beside a loop in plain PyTorch that flips as many bits.

    python benches/evaluator.py [TRIALS]

Both evaluate the same network on the same images as often. The loop draws positions with numpy, flips bits of the int8 weights, writes the changed
weights into the module, evaluates, and writes the old weights back; it keeps no records.
"""

import sys
import tempfile
import time

import numpy as np
import torch

import zerospace

RATE = 1e-3


def network():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 32, 3, padding=1), torch.nn.ReLU()]
    for _ in range(6):
        layers += [torch.nn.Conv2d(32, 32, 3, padding=1), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(512, 10)).eval()


def plain(q, evaluate, trials):
    """Seconds of a loop without the package."""
    parameters = [q.module.get_parameter(name) for name in q.weights]
    clean, rng = list(q.weights.values()), np.random.default_rng(1)
    begun = time.perf_counter()
    for trial in range(trials):
        undo = []
        for parameter, weights, levels in zip(parameters, clean, q.levels_per_unit.values()):
            bits = 8 * weights.size
            flips = rng.choice(bits, rng.binomial(bits, RATE), replace=False)
            flipped = weights.reshape(-1).copy()
            np.bitwise_xor.at(flipped.view(np.uint8), flips // 8, (1 << flips % 8).astype(np.uint8))
            places = np.unique(flips // 8)
            with torch.no_grad():
                flat, places = parameter.view(-1), torch.from_numpy(places)
                undo.append((flat, places, flat[places]))
                flat[places] = torch.from_numpy(flipped[places.numpy()] / np.float32(levels))
        evaluate(q.module, trial)
        with torch.no_grad():
            for flat, places, before in undo:
                flat[places] = before
    return time.perf_counter() - begun


def main(trials):
    q = zerospace.torch.QuantizedModule(network())
    images = torch.rand(100, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = q.module(images).argmax(1)

    @torch.no_grad()
    def evaluate(module, trial):
        return float((module(images).argmax(1) == labels).float().mean())

    calls = []

    def counted(module, trial):
        begun = time.perf_counter()
        score = evaluate(module, trial)
        calls.append((begun, time.perf_counter()))
        return score

    evaluate(q.module, 0)
    loop = plain(q, evaluate, trials)
    with tempfile.TemporaryDirectory() as out:
        begun = time.perf_counter()
        zerospace.run({"cnn": q}, ["faulty"], [RATE], trials, evaluator=counted, out=out, progress=False)
        campaign = time.perf_counter() - begun
    weights = sum(array.size for array in q.weights.values())
    # The first three calls are the network without faults and the trial that is evaluated twice.
    calls = calls[3:]
    inside = sum(end - begun for begun, end in calls)
    between = calls[-1][1] - calls[0][0] - inside
    print(f"{weights} weights, rate {RATE:g}, {trials} trials, {torch.get_num_threads()} threads")
    print(f"plain PyTorch loop      {1000 * loop / trials:8.2f} ms a trial")
    print(f"evaluator               {1000 * inside / len(calls):8.2f} ms a trial")
    print(f"between two calls of it {1000 * between / len(calls):8.2f} ms a trial: {100 * between / inside:.1f} % of its time")
    print(f"whole campaign          {campaign:8.2f} s, with the report")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
