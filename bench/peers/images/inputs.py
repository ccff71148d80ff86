"""Draws the three inputs: a 12 MP JPEG, a 12 MP PNG and a 4 MP WebP, always the same ones.

With a number behind the folder, as many 12 MP JPEGs instead, no two the same.

Two photographs that scikit-learn ships are enlarged twofold, which makes them about as sharp as what
a camera writes, given the noise of a sensor, and laid beside each other in changing orientations.
"""

import importlib.util
import pathlib
import sys

import numpy
from PIL import Image

SEED = 7
NOISE = 2.0
SHIFT = 137


def photographs():
    package = importlib.util.find_spec("sklearn")
    folder = pathlib.Path(package.submodule_search_locations[0]) / "datasets" / "images"
    for name in ["china.jpg", "flower.jpg"]:
        photograph = Image.open(folder / name).convert("RGB")
        yield photograph.resize((photograph.width * 2, photograph.height * 2), Image.LANCZOS)


def mosaic(width, height):
    tiles = list(photographs())
    turns = [None, Image.FLIP_LEFT_RIGHT, Image.FLIP_TOP_BOTTOM, Image.ROTATE_180]
    whole = Image.new("RGB", (width, height))
    number = 0
    for top in range(0, height, tiles[0].height):
        for left in range(0, width, tiles[0].width):
            tile, turn = tiles[number % len(tiles)], turns[number // len(tiles) % len(turns)]
            whole.paste(tile if turn is None else tile.transpose(turn), (left, top))
            number += 1
    noise = numpy.random.default_rng(SEED).normal(0, NOISE, (height, width, 1))
    pixels = numpy.asarray(whole, numpy.float32) + noise
    return Image.fromarray(pixels.round().clip(0, 255).astype(numpy.uint8))


def several(folder, count):
    pixels = numpy.asarray(mosaic(4000, 3000))
    for number in range(count):
        # What leaves on one side comes in on the other.
        shifted = numpy.roll(pixels, number * SHIFT, axis=1)
        Image.fromarray(shifted).save(folder / f"{number}.jpg", quality=92)


def main(folder, count=None):
    folder.mkdir(parents=True, exist_ok=True)
    if count is not None:
        return several(folder, int(count))
    large = mosaic(4000, 3000)
    if not (folder / "photo.jpg").exists():
        large.save(folder / "photo.jpg", quality=92)
    if not (folder / "photo.png").exists():
        large.save(folder / "photo.png", compress_level=6)
    if not (folder / "photo.webp").exists():
        mosaic(2400, 1667).save(folder / "photo.webp", quality=90, method=4)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
