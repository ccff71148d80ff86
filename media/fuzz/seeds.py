"""Draws the seeds: the smallest images of every kind that is read. Needs Pillow."""

import pathlib

from PIL import Image

FOLDER = pathlib.Path(__file__).parent / "seeds"
SIDES = (19, 13)

picture = Image.new("RGB", SIDES)
picture.putdata([(x * 13, y * 19, (x * y) % 256) for y in range(SIDES[1]) for x in range(SIDES[0])])
clear = picture.copy()
clear.putalpha(Image.linear_gradient("L").resize(SIDES))
profile = Image.Exif()
profile[0x0112] = 6

FOLDER.mkdir(exist_ok=True)
save = {
    "baseline.jpg": lambda path: picture.save(path, quality=80),
    "full.jpg": lambda path: picture.save(path, quality=80, subsampling="4:4:4", optimize=True),
    "turned.jpg": lambda path: picture.save(path, quality=50, exif=profile),
    "progressive.jpg": lambda path: picture.save(path, quality=80, progressive=True),
    "restarts.jpg": lambda path: picture.save(path, quality=80, restart_marker_blocks=1),
    "gray.jpg": lambda path: picture.convert("L").save(path, quality=80),
    "inks.jpg": lambda path: picture.convert("CMYK").save(path, quality=80),
    "rgb.png": lambda path: picture.save(path),
    "alpha.png": lambda path: clear.save(path),
    "palette.png": lambda path: picture.quantize(16).save(path, transparency=3),
    "gray.png": lambda path: picture.convert("L").save(path),
    "bits.png": lambda path: picture.convert("1").save(path),
    "deep.png": lambda path: picture.convert("L").convert("I;16").save(path),
    "lossy.webp": lambda path: picture.save(path, quality=60),
    "lossless.webp": lambda path: picture.save(path, lossless=True),
    "alpha.webp": lambda path: clear.save(path, quality=60),
    "turned.webp": lambda path: picture.save(path, quality=60, exif=profile),
    "animated.webp": lambda path: picture.save(path, save_all=True, append_images=[clear], quality=60),
    "still.gif": lambda path: picture.quantize(16).save(path),
    "animated.gif": lambda path: picture.save(path, save_all=True, append_images=[picture.rotate(90)]),
    "interlaced.gif": lambda path: picture.quantize(8).save(path, interlace=1),
}
for name, write in save.items():
    write(FOLDER / name)
