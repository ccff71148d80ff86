//! `lyo model pull`: have a model before it is needed.

use std::{
    io::{IsTerminal, stderr},
    sync::Mutex,
    sync::PoisonError,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use inference::{Progress, Weights};

use super::ModelChoice;

/// Fetches and verifies the model, showing how far it is.
///
/// # Errors
/// When the model cannot be had or does not match its digests.
pub(super) async fn pull(choice: &ModelChoice) -> anyhow::Result<Weights> {
    let options = choice.model.fetch(&choice.data.folder()?);
    let bar = Bar::new();
    let show = |progress| bar.show(&progress);
    let source = choice.model.model.source(&options, show).await?;
    let weights = Weights::fetch(&source, &options, show).await?;
    bar.bar.finish_and_clear();
    println!("{} is here and verified.", choice.model.model);
    Ok(weights)
}

/// One bar for all files, or one line a file where there is no terminal.
struct Bar {
    bar: ProgressBar,
    file: Mutex<String>,
}

impl Bar {
    fn new() -> Self {
        let target = if stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let template = "{bar:32} {bytes} of {total_bytes}, {bytes_per_sec}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            file: Mutex::default(),
        }
    }

    fn show(&self, progress: &Progress) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if *file != progress.file {
            progress.file.clone_into(&mut file);
            self.bar.reset();
            self.bar.set_message(progress.file.clone());
            if self.bar.is_hidden() {
                eprintln!("Fetching {}", progress.file);
            }
        }
        if let Some(total) = progress.total {
            self.bar.set_length(total);
        }
        self.bar.set_position(progress.bytes);
    }
}
