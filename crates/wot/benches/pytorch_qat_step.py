"""The PyTorch side of qat_step.rs: milliseconds of a QATT step (forward, backward, SGD, throttle) of ResNet-18 for CIFAR,
full width, batch 32, eager mode.

    pip install torch numpy && python pytorch_qat_step.py [threads] [channels_last]

Weights are fake-quantized per tensor with a fixed scale, activations per tensor with a moving average of the largest
magnitude, at the same points as in the crate. The script prints the versions that it ran with.
"""
import platform, sys, time
import torch, torch.nn as nn, torch.nn.functional as F

threads = next((int(a) for a in sys.argv[1:] if a.isdigit()), 2)
layout = torch.channels_last if "channels_last" in sys.argv else torch.contiguous_format
torch.set_num_threads(threads)
torch.manual_seed(1)
ranges = {}


class RoundWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w, scale):
        return (w * scale).round_().clamp_(-127, 127).div_(scale)

    @staticmethod
    def backward(ctx, g):
        return g, None


def weight(w):
    if not hasattr(w, "scale"):
        w.scale = 127 / w.detach().abs().max().item()
    return RoundWeight.apply(w, w.scale)


def activation(name, x, signed=False):
    seen = x.detach().abs().max().item()
    ranges[name] = seen if name not in ranges else ranges[name] + 0.01 * (seen - ranges[name])
    low, high = (-127, 127) if signed else (0, 255)
    return torch.fake_quantize_per_tensor_affine(x, ranges[name] / high, 0, low, high)


class Block(nn.Module):
    def __init__(self, name, i, o, stride):
        super().__init__()
        self.name, self.stride = name, stride
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.down = None
        if stride != 1 or i != o:
            self.down, self.down_bn = nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o)

    def forward(self, x):
        n = self.name
        y = activation(n + "1", F.relu(self.bn1(F.conv2d(x, weight(self.conv1.weight), None, self.stride, 1))))
        y = activation(n + "2", self.bn2(F.conv2d(y, weight(self.conv2.weight), None, 1, 1)), True)
        if self.down is not None:
            x = activation(n + "d", self.down_bn(F.conv2d(x, weight(self.down.weight), None, self.stride)), True)
        return activation(n + "s", F.relu(y + x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64)
        blocks, i = [], 64
        for layer, (o, stride) in enumerate([(64, 1), (128, 2), (256, 2), (512, 2)]):
            for block in range(2):
                blocks.append(Block(f"{layer}.{block}.", i, o, stride if block == 0 else 1))
                i = o
        self.blocks, self.fc = nn.Sequential(*blocks), nn.Linear(512, 10)

    def forward(self, x):
        x = activation("in", x, True)
        x = activation("stem", F.relu(self.bn1(F.conv2d(x, weight(self.conv1.weight), None, 1, 1))))
        x = activation("mean", self.blocks(x).mean((2, 3)))
        return F.linear(x, weight(self.fc.weight), self.fc.bias)


model = ResNet18().to(memory_format=layout).train()
optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4)
images = torch.randn(32, 3, 32, 32).contiguous(memory_format=layout)
labels = torch.arange(32) % 10


def throttle():
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() < 2:
                continue
            flat = p.contiguous().view(-1)
            free = torch.arange(flat.numel()) % 8 == 7
            levels = (flat * p.scale).round_()
            clamped = torch.where(free, levels, levels.clamp(-64, 63))
            p.copy_(torch.where(clamped != levels, clamped / p.scale, flat).view_as(p))


print(f"torch {torch.__version__}, python {platform.python_version()}, {threads} threads, {layout}")
for step in range(7):
    start = time.perf_counter()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    update = time.perf_counter()
    throttle()
    end = time.perf_counter()
    print(f"torch {(end - start) * 1e3:8.1f} ms/step, {(update - start) * 1e3:8.1f} without throttling, loss {loss.item():.4f}")
