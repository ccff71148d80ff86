//! What each effort of the encoders costs, and what it brings: how those in use were chosen.
//!
//! `cargo run --release -p media --example effort -- PICTURE.png` with a PNG of eight-bit RGB, of
//! about the size of a variant. Times are those of a processor, so a busy machine may be used.

use std::{env, fs::File, io::BufReader};

use jpeg_encoder::{ColorType, Encoder};
use rustix::time::{ClockId, clock_gettime};
use webpx::{EncoderConfig, Unstoppable};

const ROUNDS: usize = 7;
/// SSIM is the mean over squares of this side, half of it apart.
const SQUARE: usize = 8;

type Failed = Box<dyn std::error::Error>;

struct Drawing {
    pixels: Vec<u8>,
    width: u32,
    height: u32,
}

fn main() -> Result<(), Failed> {
    let path = env::args().nth(1).ok_or("a PNG")?;
    let mut reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut pixels)?;
    let drawing = Drawing {
        pixels,
        width: info.width,
        height: info.height,
    };
    println!("| encoder | CPU ms | bytes | SSIM of luma |");
    println!("|---|---|---|---|");
    for (name, config) in webps() {
        let (ms, bytes) = timed(|| webp(&drawing, &config))?;
        let (decoded, _, _) = webpx::decode_rgb(&bytes)?;
        row(&name, ms, bytes.len(), ssim(&drawing, &decoded));
    }
    for optimised in [false, true] {
        let (ms, bytes) = timed(|| jpeg(&drawing, optimised))?;
        let name = format!("JPEG, own Huffman tables {optimised}");
        row(&name, ms, bytes.len(), f64::NAN);
    }
    Ok(())
}

/// One thing at a time is other than what is in use.
fn webps() -> Vec<(String, EncoderConfig)> {
    let mut webps = Vec::new();
    for method in 0..=6 {
        for quality in [78.0, 80.0, 82.0] {
            let config = EncoderConfig::new().quality(quality).method(method);
            webps.push((format!("WebP {quality}, method {method}"), config));
        }
    }
    for method in [2, 3, 4] {
        let usual = || EncoderConfig::new().quality(80.0).method(method);
        for (name, config) in [
            ("80.25", usual().quality(80.25)),
            ("80.5", usual().quality(80.5)),
            ("one segment", usual().segments(1)),
            ("two segments", usual().segments(2)),
            ("three segments", usual().segments(3)),
            ("noise shaping 0", usual().sns_strength(0)),
            ("noise shaping 30", usual().sns_strength(30)),
            ("noise shaping 40", usual().sns_strength(40)),
            ("noise shaping 60", usual().sns_strength(60)),
            ("noise shaping 80", usual().sns_strength(80)),
            ("no filter", usual().filter_strength(0)),
            ("filter 30", usual().filter_strength(30)),
            ("filter 45", usual().filter_strength(45)),
            ("filter 80", usual().filter_strength(80)),
            ("filter 100", usual().filter_strength(100)),
            ("sharpness 3", usual().filter_sharpness(3)),
            ("sharpness 6", usual().filter_sharpness(6)),
            ("filter chosen", usual().autofilter(true)),
            ("simple filter", usual().filter_type(0)),
            ("smooth segments", usual().preprocessing(1)),
            ("two passes", usual().pass(2)),
        ] {
            webps.push((format!("WebP 80, method {method}, {name}"), config));
        }
    }
    webps
}

fn webp(drawing: &Drawing, config: &EncoderConfig) -> Result<Vec<u8>, Failed> {
    let Drawing {
        pixels,
        width,
        height,
    } = drawing;
    let encoded = config.encode_rgb(pixels, *width, *height, Unstoppable);
    Ok(encoded.map_err(|error| error.to_string())?)
}

fn jpeg(drawing: &Drawing, optimised: bool) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 80);
    encoder.set_optimized_huffman_tables(optimised);
    let (width, height) = (drawing.width.try_into()?, drawing.height.try_into()?);
    encoder.encode(&drawing.pixels, width, height, ColorType::Rgb)?;
    Ok(bytes)
}

/// The least of some rounds, in milliseconds of a processor.
fn timed(encode: impl Fn() -> Result<Vec<u8>, Failed>) -> Result<(f64, Vec<u8>), Failed> {
    let (mut least, mut bytes) = (f64::INFINITY, Vec::new());
    for _ in 0..ROUNDS {
        let began = cpu_ms();
        bytes = encode()?;
        least = least.min(cpu_ms() - began);
    }
    Ok((least, bytes))
}

#[expect(clippy::cast_precision_loss, reason = "a time that is not long")]
fn cpu_ms() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 * 1e3 + used.tv_nsec as f64 / 1e6
}

fn row(name: &str, ms: f64, bytes: usize, ssim: f64) {
    println!("| {name} | {ms:.1} | {bytes} | {ssim:.4} |");
}

fn ssim(drawing: &Drawing, other: &[u8]) -> f64 {
    let luma = |rgb: &[u8]| -> Vec<f64> {
        let of = |it: &[u8]| {
            0.299 * f64::from(it[0]) + 0.587 * f64::from(it[1]) + 0.114 * f64::from(it[2])
        };
        rgb.chunks_exact(3).map(of).collect()
    };
    let (one, other) = (luma(&drawing.pixels), luma(other));
    let [width, height] = [drawing.width, drawing.height].map(|side| side as usize);
    let (mut sum, mut count) = (0.0, 0.0);
    for top in (0..=height - SQUARE).step_by(SQUARE / 2) {
        for left in (0..=width - SQUARE).step_by(SQUARE / 2) {
            let rows = (top..top + SQUARE).map(|y| y * width + left..y * width + left + SQUARE);
            let pairs = rows.flat_map(|row| one[row.clone()].iter().zip(&other[row]));
            sum += similarity(pairs);
            count += 1.0;
        }
    }
    sum / count
}

fn similarity<'v>(pairs: impl Iterator<Item = (&'v f64, &'v f64)>) -> f64 {
    let (mut count, mut sums, mut squares, mut both) = (0.0, [0.0; 2], [0.0; 2], 0.0);
    for (one, other) in pairs {
        count += 1.0;
        sums = [sums[0] + one, sums[1] + other];
        squares = [squares[0] + one * one, squares[1] + other * other];
        both += one * other;
    }
    let means = sums.map(|sum| sum / count);
    let spread = [0, 1].map(|at| squares[at] / count - means[at] * means[at]);
    let both = both / count - means[0] * means[1];
    let (c1, c2) = ((0.01_f64 * 255.0).powi(2), (0.03_f64 * 255.0).powi(2));
    (2.0 * means[0] * means[1] + c1) * (2.0 * both + c2)
        / ((means[0].powi(2) + means[1].powi(2) + c1) * (spread[0] + spread[1] + c2))
}
