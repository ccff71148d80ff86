//! `lyo model info`: what a model is, found out by loading it.

use std::time::Instant;

use inference::{Engine, ModelInfo};
use tokio::task::spawn_blocking;

use super::{ModelChoice, pull::pull};

/// Loads the model and prints what it is.
///
/// # Errors
/// When the model cannot be had or cannot be run.
pub(super) async fn info(choice: &ModelChoice) -> anyhow::Result<()> {
    let weights = pull(choice).await?;
    let config = choice.model.engine();
    let began = Instant::now();
    let engine = spawn_blocking(move || Engine::start(weights, config)).await??;
    println!("{}", describe(engine.info()));
    println!("load time     {:.2} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn describe(info: &ModelInfo) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let millions = info.parameters as f64 / 1e6;
    format!(
        "model         {}\nsha256        {}\nparameters    {millions:.1} million\n\
         quantisation  {}\nvocabulary    {} tokens\ncontext       {} tokens",
        info.id, info.sha256, info.quantisation, info.vocabulary, info.context
    )
}
