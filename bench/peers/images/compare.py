"""Measures lyo, sharp and Pillow on the same images, and prints a Markdown table for each.

Then it counts the images that one and two processes of lyo make in a second.

CPU is the median of the rounds, the first one (which loads code) left out; memory is the peak of the
process that decodes. SSIM and bytes are of the variants of the last round, against the whole image
decoded by Pillow and resized once with Lanczos.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import statistics
import struct
import subprocess
import sys
import time

import numpy
from PIL import Image

HERE = pathlib.Path(__file__).parent
SIZES = [1080, 320, 96]
FORMATS = ["webp", "jpg"]
ROUNDS = 9
IMAGES = 20
LIMITS = {
    "children": 1,
    "bytes_max": 64 << 20,
    "pixels_max": 64_000_000,
    "memory_bytes_max": 256 << 20,
    "metadata_bytes_max": 4 << 20,
    "cpu_seconds_max": 10,
    "wall_seconds_max": 60,
    "images_per_child_max": 200,
}


class Lyo:
    """A process in which lyo decodes, spoken to as its pool does."""

    def __init__(self, command, source, out):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={})
        formats = ["webp", "jpeg"]
        wanted = [
            {"name": f"s{size}", "width": size, "height": size, "fit": "inside", "formats": formats}
            for size in SIZES
        ]
        request = {"source": str(source), "wanted": wanted, "out": str(out), "limits": LIMITS}
        body = json.dumps(request).encode()
        self.request = struct.pack("<I", len(body)) + body

    def make(self):
        self.process.stdin.write(self.request)
        self.process.stdin.flush()
        length = struct.unpack("<I", self.process.stdout.read(4))[0]
        answer = json.loads(self.process.stdout.read(length))
        assert "made" in answer, answer

    def cpu_ms(self):
        return int(open(f"/proc/{self.process.pid}/schedstat").read().split()[0]) / 1e6

    def peak_kib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read())[1])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def lyo(command, source, out):
    decoder, times = Lyo(command, source, out), []
    for _ in range(ROUNDS):
        before = decoder.cpu_ms()
        decoder.make()
        times.append(decoder.cpu_ms() - before)
    peak = decoder.peak_kib()
    decoder.close()
    return {"times": times, "peak_kib": peak}


def per_second(command, source, work, processes):
    """Images a second of so many processes at a time, each of three sizes in two formats."""
    decoders = []
    for number in range(processes):
        out = work / f"process-{number}"
        out.mkdir(exist_ok=True)
        decoders.append(Lyo(command, source, out))
        decoders[-1].make()
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(processes) as threads:
        list(threads.map(lambda decoder: [decoder.make() for _ in range(IMAGES)], decoders))
    seconds = time.monotonic() - began
    for decoder in decoders:
        decoder.close()
    return IMAGES * processes / seconds


def peer(command, source, out):
    done = subprocess.run([*command, str(source), str(out), str(ROUNDS)], capture_output=True, check=True)
    return json.loads(done.stdout)


def gray(image):
    return numpy.asarray(image.convert("L"), numpy.float64)


def blur(values):
    """A Gaussian of 11 pixels and sigma 1.5, where it fits."""
    weights = numpy.exp(-((numpy.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    for axis in [0, 1]:
        windows = numpy.lib.stride_tricks.sliding_window_view(values, 11, axis=axis)
        values = windows @ weights
    return values


def ssim(one, other):
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_one, mean_other = blur(one), blur(other)
    var_one = blur(one * one) - mean_one**2
    var_other = blur(other * other) - mean_other**2
    both = blur(one * other) - mean_one * mean_other
    top = (2 * mean_one * mean_other + c1) * (2 * both + c2)
    return float((top / ((mean_one**2 + mean_other**2 + c1) * (var_one + var_other + c2))).mean())


def score(source, out):
    """Per size and format: SSIM and bytes."""
    whole = Image.open(source).convert("RGB")
    scores = {}
    for size in SIZES:
        for extension in FORMATS:
            path = out / f"s{size}.{extension}"
            variant = Image.open(path)
            reference = whole.resize(variant.size, Image.LANCZOS)
            scores[f"{size} {extension}"] = (ssim(gray(reference), gray(variant)), os.path.getsize(path))
    return scores


def main(inputs, work, command):
    systems = {
        "lyo": lambda source, out: lyo(command, source, out),
        "sharp": lambda source, out: peer(["node", HERE / "sharp.js"], source, out),
        "Pillow": lambda source, out: peer([sys.executable, HERE / "pillow.py"], source, out),
    }
    for source in [inputs / "photo.jpg", inputs / "photo.png", inputs / "photo.webp"]:
        pixels = Image.open(source).size
        print(f"\n{source.name}, {pixels[0]} x {pixels[1]}, {source.stat().st_size >> 10} KiB\n")
        names = [f"{size} {extension}" for size in SIZES for extension in FORMATS]
        print("| system | CPU ms | peak MiB |" + "".join(f" {name}: SSIM, bytes |" for name in names))
        print("|---|---|---|" + "---|" * len(names))
        for name, run in systems.items():
            out = work / source.stem / name
            out.mkdir(parents=True, exist_ok=True)
            result = run(source, out)
            scores = score(source, out)
            cells = "".join(f" {scores[it][0]:.4f}, {scores[it][1]} |" for it in names)
            cpu, peak = statistics.median(result["times"][1:]), result["peak_kib"] / 1024
            print(f"| {name} | {cpu:.0f} | {peak:.0f} |{cells}", flush=True)
    print()
    for processes in [1, 2]:
        rate = per_second(command, inputs / "photo.jpg", work, processes)
        print(f"photo.jpg: {rate:.1f} images a second of {processes} process(es) of lyo", flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:])
