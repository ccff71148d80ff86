"""Pillow as its documentation recommends it: thumbnails, which decode JPEG scaled, each from the last."""

import json
import re
import sys
import time

from PIL import Image, ImageOps

SIZES = [1080, 320, 96]
QUALITY = 80


def variants(source, out):
    image = Image.open(source)
    for size in SIZES:
        image.thumbnail((size, size), Image.LANCZOS)
        image = ImageOps.exif_transpose(image)
        image.save(f"{out}/s{size}.webp", quality=QUALITY)
        image.save(f"{out}/s{size}.jpg", quality=QUALITY, optimize=True)


def main(source, out, rounds):
    times = []
    for _ in range(int(rounds)):
        before = time.process_time()
        variants(source, out)
        times.append((time.process_time() - before) * 1000)
    peak = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]
    print(json.dumps({"times": times, "peak_kib": int(peak)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
