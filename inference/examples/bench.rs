//! Prints how fast this machine runs the published sizes: `cargo run -p inference --example bench`.

use inference::bench::{Case, measure};

fn main() -> Result<(), inference::Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for case in Case::ALL {
        let measured = measure(case, &std::env::temp_dir(), threads)?;
        println!(
            "{case}: prompt {:.1} tokens/s, answer {:.1} tokens/s, file {} MB, memory {} MB, \
             loaded in {:.1} s",
            measured.prompt_tokens_per_second,
            measured.answer_tokens_per_second,
            measured.file_bytes >> 20,
            measured.memory_bytes.unwrap_or_default() >> 20,
            measured.load.as_secs_f64(),
        );
    }
    Ok(())
}
