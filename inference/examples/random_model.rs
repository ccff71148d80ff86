//! Writes a tiny model with random weights: `cargo run -p inference --example random_model -- FILE`.

use candle_core::quantized::GgmlDType;
use inference::random::{Shape, write_gguf};

fn main() -> Result<(), inference::Error> {
    let path = std::env::args_os()
        .nth(1)
        .unwrap_or_else(|| "tiny.gguf".into());
    write_gguf(path.as_ref(), &Shape::TINY, GgmlDType::Q8_0, 1)
}
