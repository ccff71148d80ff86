// sharp as its documentation recommends it for several sizes: each from the next larger one, one thread.
import { readFileSync, writeFileSync } from "node:fs";
import sharp from "sharp";

const [source, out, rounds] = process.argv.slice(2);
const SIZES = [1080, 320, 96];
const QUALITY = 80;

sharp.concurrency(1);
sharp.cache(false);

async function variants() {
  let image = sharp(source).autoOrient();
  for (const size of SIZES) {
    const { data, info } = await image
      .resize(size, size, { fit: "inside", withoutEnlargement: true })
      .raw()
      .toBuffer({ resolveWithObject: true });
    const raw = { raw: { width: info.width, height: info.height, channels: info.channels } };
    await sharp(data, raw).webp({ quality: QUALITY }).toFile(`${out}/s${size}.webp`);
    await sharp(data, raw).jpeg({ quality: QUALITY }).toFile(`${out}/s${size}.jpg`);
    image = sharp(data, raw);
  }
}

const times = [];
for (let round = 0; round < Number(rounds); round++) {
  const before = process.cpuUsage();
  await variants();
  const used = process.cpuUsage(before);
  times.push((used.user + used.system) / 1000);
}
const peak = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1];
console.log(JSON.stringify({ times, peak_kib: Number(peak) }));
