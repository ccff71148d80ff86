//! Writes a model with random weights: `cargo run -p inference --example random_model -- FILE [CASE]`.
//!
//! `CASE` is one of those that `lyo model bench` measures, such as `270M q8_0`; without it the model
//! is tiny.

use candle_core::quantized::GgmlDType;
use inference::bench::Case;
use inference::random::{Shape, write_gguf};

fn main() -> Result<(), inference::Error> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "tiny.gguf".into());
    let case = arguments.next();
    let case = case.and_then(|name| Case::ALL.into_iter().find(|case| case.to_string() == name));
    match case {
        Some(case) => case.write(path.as_ref()),
        None => write_gguf(path.as_ref(), &Shape::TINY, GgmlDType::Q8_0, 1),
    }
}
