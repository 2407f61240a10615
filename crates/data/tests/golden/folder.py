"""Image files, and the pixels that torchvision makes of them by Resize of the shorter side and CenterCrop.

    python crates/data/tests/golden/folder.py

writes folder/ and folder.json beside this script. For lossless images, folder.json holds the SHA-256 of the expected
pixels (CHW) for each size of the crop. For JPEG images, whose decoders may differ by a level, folder/expected/NAME.png
holds the expected pixels, 64 x 64.

Made with Pillow 13.0.0 (libjpeg-turbo 3.2.0), torchvision 0.29.2, NumPy 2.4.6.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

HERE = Path(__file__).parent
FOLDER = HERE / "folder"
# Side of the crop -> length of the shorter side before it.
PAIRS = {224: 256, 299: 342, 64: 73, 32: 37}


def scene(width, height, seed):
    """Waves of many frequencies, edges, and some noise."""
    random = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    channels = []
    for _ in range(3):
        value = np.full((height, width), 128.0)
        for _ in range(6):
            fx, fy, phase = random.uniform(-0.5, 0.5), random.uniform(-0.5, 0.5), random.uniform(0, 6.3)
            value += 22 * np.sin(fx * x + fy * y + phase)
        channels.append(value)
    image = np.stack(channels, -1)
    for _ in range(4):
        cx, cy, r = random.uniform(0, width), random.uniform(0, height), random.uniform(0.1, 0.3) * height
        image[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = random.uniform(0, 255, 3)
    image += random.normal(0, 4, image.shape)
    return Image.fromarray(image.clip(0, 255).astype("uint8"))


def expected(image, crop):
    resize = Resize(PAIRS[crop], InterpolationMode.BILINEAR, antialias=True)
    return CenterCrop(crop)(resize(image.convert("RGB")))


def chw(image):
    return np.asarray(image).transpose(2, 0, 1).tobytes()


(FOLDER / "expected").mkdir(parents=True, exist_ok=True)
lossless = {}
rgba = scene(90, 71, 1).convert("RGBA")
rgba.putalpha(Image.linear_gradient("L").resize((90, 71)))
for name, image in {
    "landscape": scene(131, 88, 2),
    "portrait": scene(75, 110, 3),
    "exact": scene(64, 37, 4),
    "wide": scene(300, 7, 5),
    "one": scene(1, 1, 6),
    "grey": scene(97, 60, 7).convert("L"),
    "palette": scene(60, 50, 8).quantize(64),
    "alpha": rgba,
}.items():
    image.save(FOLDER / f"{name}.png", optimize=True)
    image = Image.open(FOLDER / f"{name}.png")
    lossless[name] = {crop: hashlib.sha256(chw(expected(image, crop))).hexdigest() for crop in PAIRS}
(HERE / "folder.json").write_text(json.dumps(lossless, indent=1) + "\n")

for name, image, options in [
    ("photo", scene(211, 160, 9), dict(quality=90)),
    ("upright", scene(120, 181, 10), dict(quality=75, subsampling=1)),
    ("full-chroma", scene(100, 77, 11), dict(quality=85, subsampling=0)),
    ("progressive", scene(143, 99, 12), dict(quality=75, progressive=True)),
    ("small", scene(48, 40, 13), dict(quality=80)),
    ("luma", scene(111, 84, 14).convert("L"), dict(quality=75)),
    ("cmyk", scene(83, 95, 15).convert("CMYK"), dict(quality=85)),
]:
    image.save(FOLDER / f"{name}.JPEG", **options)
    expected(Image.open(FOLDER / f"{name}.JPEG"), 64).save(FOLDER / "expected" / f"{name}.png", optimize=True)
