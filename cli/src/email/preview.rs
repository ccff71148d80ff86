//! `lyo email preview`: writes every letter as its reader will see it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use mail::{Language, links, render, variables};
use models::templates::Template;

/// What to write, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct PreviewArgs {
    /// The letter, for example `welcome` [default: every letter]
    #[arg(value_name = "LETTER")]
    template: Option<Template>,

    /// The folder for the files.
    #[arg(long, value_name = "FOLDER", default_value = "mail-preview")]
    out: PathBuf,
}

/// Writes a page and a text for each letter and language, with made-up variables.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn preview(args: &PreviewArgs) -> anyhow::Result<()> {
    let one = args.template.as_ref().map(std::slice::from_ref);
    for template in one.unwrap_or(Template::ALL) {
        for language in Language::ALL {
            write(*template, *language, &args.out)?;
        }
    }
    Ok(())
}

fn write(template: Template, language: Language, out: &Path) -> anyhow::Result<()> {
    let content = render(template, language, &variables(template), links(template))?;
    let folder = out.join(language.tag());
    let unwritable = || format!("{} cannot be written", folder.display());
    fs::create_dir_all(&folder).with_context(unwritable)?;
    let page = folder.join(format!("{template}.html"));
    fs::write(&page, &content.html).with_context(unwritable)?;
    let text = format!("{}\n\n{}", content.subject, content.text);
    fs::write(folder.join(format!("{template}.txt")), text).with_context(unwritable)?;
    println!("{}  {}", page.display(), content.subject);
    Ok(())
}
