//! What each effort of the WebP encoder costs, and what it brings: how the one in use was chosen.
//!
//! `cargo run --release -p media --example effort -- PICTURE.png` with a PNG of eight-bit RGB, of
//! about the size of a variant.

use std::{
    env,
    fs::File,
    io::BufReader,
    time::{Duration, Instant},
};

use webpx::{EncoderConfig, Unstoppable};

const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = env::args().nth(1).ok_or("a PNG")?;
    let mut reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut pixels)?;
    let (width, height) = (info.width, info.height);

    println!("| method | quality | ms | bytes | PSNR of luma dB |");
    println!("|---|---|---|---|---|");
    for method in 0..=6 {
        for quality in [78.0, 79.0, 80.0] {
            let config = EncoderConfig::new().quality(quality).method(method);
            let mut encoded = Vec::new();
            let mut least = Duration::MAX;
            for _ in 0..ROUNDS {
                let began = Instant::now();
                encoded = config.encode_rgb(&pixels, width, height, Unstoppable)?;
                least = least.min(began.elapsed());
            }
            let (decoded, _, _) = webpx::decode_rgb(&encoded)?;
            println!(
                "| {method} | {quality} | {:.1} | {} | {:.2} |",
                least.as_secs_f64() * 1000.0,
                encoded.len(),
                psnr(&pixels, &decoded)
            );
        }
    }
    Ok(())
}

fn psnr(one: &[u8], other: &[u8]) -> f64 {
    let luma =
        |it: &[u8]| 0.299 * f64::from(it[0]) + 0.587 * f64::from(it[1]) + 0.114 * f64::from(it[2]);
    let (mut sum, mut count) = (0.0, 0.0);
    for (one, other) in one.chunks_exact(3).zip(other.chunks_exact(3)) {
        sum += (luma(one) - luma(other)).powi(2);
        count += 1.0;
    }
    10.0 * (255.0_f64.powi(2) * count / sum).log10()
}
