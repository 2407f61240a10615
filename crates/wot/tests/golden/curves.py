"""Golden training curves, by PyTorch: losses of 50 iterations of small networks, written to curves.json beside this file.

    pip install torch numpy && python curves.py

Only the losses are stored. Parameters and batches are `noise` (see ops.py), seeded by name and number, both here and in
tests/it/curves.rs. Each network is trained in float and with QATT: weights rounded with a fixed scale per tensor,
activations with a moving average of the largest magnitude, weights clamped into [-64, 63] at positions 0..6 after every
update.
"""
import json, pathlib
import numpy as np, torch, torch.nn.functional as F

torch.set_num_threads(1)
ITERATIONS, MOMENTUM, DECAY = 50, 0.9, 5e-4


def noise(shape, seed):
    out, state = np.empty(int(np.prod(shape)), np.float32), seed
    for i in range(out.size):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = np.float32(np.float32(state >> 8) / np.float32(16777216.0) - np.float32(0.5))
    return torch.from_numpy(out.reshape(shape))


def fnv(name):
    h = 0x811C9DC5
    for byte in name.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return h


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w, scale):
        return torch.clamp(torch.round(w * scale), -127, 127) / scale

    @staticmethod
    def backward(ctx, g):
        return g, None


class Net:
    def __init__(self, quantize):
        self.p, self.quantize, self.scales, self.ranges, self.running = {}, quantize, {}, {}, {}

    def param(self, name, shape):
        if name not in self.p:
            value = noise(shape, fnv(name))
            if len(shape) >= 2:  # Cubes of uniform numbers, with variance 2 / fan-in: a tail for throttling.
                cube = (value + value) * (value + value) * (value + value)
                value = cube * np.float32(np.sqrt(7) * np.sqrt(2 / np.prod(shape[1:])))
            else:
                value = value * np.float32(0.2) + np.float32(1.0 if name.endswith("weight") else 0.0)
            self.p[name] = value.clone().requires_grad_()
            if len(shape) >= 2:
                self.scales[name] = np.float32(127) / np.float32(value.abs().max().item())
        w = self.p[name]
        return Round.apply(w, torch.tensor(self.scales[name])) if self.quantize and w.dim() >= 2 else w

    def point(self, name, x, signed, fixed=None):
        if not self.quantize:
            return x
        seen = np.float32(x.detach().abs().max().item())
        old = self.ranges.get(name, seen)
        self.ranges[name] = np.float32(fixed) if fixed else np.float32(old + np.float32(0.01) * (seen - old))
        low, high = (-127, 127) if signed else (0, 255)
        scale = torch.tensor(np.float32(high) / self.ranges[name])
        inside = (x * scale >= low) & (x * scale <= high)
        q = torch.clamp(torch.round(x * scale), low, high) / scale
        return torch.where(inside, x + (q - x).detach(), q.detach())

    def conv(self, name, x, o, k, s, p, bias):
        w = self.param(name + ".weight", (o, x.shape[1], k, k))
        return F.conv2d(x, w, self.param(name + ".bias", (o,)) if bias else None, s, p)

    def bn(self, name, x):
        c = x.shape[1]
        mean, var = self.running.setdefault(name, (torch.zeros(c), torch.ones(c)))
        return F.batch_norm(x, mean, var, self.param(name + ".weight", (c,)), self.param(name + ".bias", (c,)), True, 0.1, 1e-5)

    def linear(self, name, x, o):
        return F.linear(x, self.param(name + ".weight", (o, x.shape[1])), self.param(name + ".bias", (o,)))


def resnet20(net, x):  # width 0.5
    x = net.point("input", x, True, 2.0)
    x = net.point("relu", F.relu(net.bn("bn1", net.conv("conv1", x, 8, 3, 1, 1, False))), False)
    for layer, planes, first in [(1, 8, 1), (2, 16, 2), (3, 32, 2)]:
        for block in range(3):
            n, s = f"layer{layer}.{block}", first if block == 0 else 1
            y = net.point(n + "1", F.relu(net.bn(n + ".bn1", net.conv(n + ".conv1", x, planes, 3, s, 1, False))), False)
            y = net.point(n + "2", net.bn(n + ".bn2", net.conv(n + ".conv2", y, planes, 3, 1, 1, False)), True)
            if s != 1:
                add = planes - x.shape[1]
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, add // 2, add - add // 2))
            x = net.point(n + "s", F.relu(y + x), False)
    return net.linear("linear", net.point("mean", x.mean((2, 3)), False), 10)


def squeezenet1_1(net, x):  # width 0.125: every layer has 8 channels up to 16, then 8 * round(published / 64)
    ch = lambda published: max(8, int(published * 0.125 / 8 + 0.5) * 8)
    def act(name, x): return net.point(name, F.relu(x), False)
    x = net.point("input", x, True, 2.0)
    x = act("stem", net.conv("features.0", x, ch(64), 3, 1, 1, True))
    plan = [None, (16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256), (64, 256)]
    for i, fire in enumerate(plan, 2):
        n = f"features.{i}"
        if fire is None:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            continue
        s, e = map(ch, fire)
        x = act(n + "s", net.conv(n + ".squeeze", x, s, 1, 1, 0, True))
        a = act(n + "a", net.conv(n + ".expand1x1", x, e, 1, 1, 0, True))
        b = act(n + "b", net.conv(n + ".expand3x3", x, e, 3, 1, 1, True))
        x = net.point(n, torch.cat([a, b], 1), False)
    x = act("cls", net.conv("classifier.1", x, 10, 1, 1, 0, True))
    return x.mean((2, 3))


def train(forward, side, rate, quantize):
    net, momentum, losses = Net(quantize), {}, []
    batches = [(noise((16, 3, side, side), 1000 + b) * 4, torch.tensor([(7 * i + b) % 10 for i in range(16)])) for b in range(4)]
    for iteration in range(ITERATIONS):
        x, labels = batches[iteration % 4]
        if iteration == 0:  # A pass that only makes the parameters.
            net.quantize = False
            forward(net, x)
            net.running.clear()
            net.quantize = quantize
            if quantize:
                throttle(net)
        loss = F.cross_entropy(forward(net, x), labels)
        loss.backward()
        losses.append(round(loss.item(), 6))
        with torch.no_grad():
            for name, p in net.p.items():
                d = p.grad + DECAY * p
                momentum[name] = MOMENTUM * momentum[name] + d if name in momentum else d
                p -= rate * momentum[name]
                p.grad = None
        if quantize:
            throttle(net)
    return losses


def throttle(net):
    with torch.no_grad():
        for name, p in net.p.items():
            if p.dim() < 2:
                continue
            flat, scale = p.view(-1), torch.tensor(net.scales[name])
            q = torch.round(flat * scale).clamp(-127, 127)
            free = torch.arange(flat.numel()) % 8 == 7
            allowed = torch.where(free, q, q.clamp(-64, 63))
            change = (allowed != q) | ((flat * scale).abs() > 127)
            flat.copy_(torch.where(change, allowed / scale, flat))


curves = [{"architecture": name, "width": width, "side": side, "rate": rate, "quantize": quantize,
           "losses": train(forward, side, rate, quantize)}
          for name, width, side, rate, forward in [("resnet20", 0.5, 16, 0.002, resnet20), ("squeezenet1_1", 0.125, 32, 0.005, squeezenet1_1)]
          for quantize in (False, True)]
path = pathlib.Path(__file__).with_name("curves.json")
path.write_text(json.dumps({"torch": torch.__version__, "momentum": MOMENTUM, "decay": DECAY, "curves": curves}) + "\n")
for curve in curves:
    print(curve["architecture"], curve["quantize"], curve["losses"][:3], "...", curve["losses"][-3:])
