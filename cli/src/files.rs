//! The files of a finished course.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// The longest name made from a topic, in characters.
const SLUG_MAX: usize = 60;

/// How many courses of one name a folder may hold.
const COPIES_MAX: u32 = 1000;

/// Where a course was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// The course for people.
    pub markdown: PathBuf,
    /// The course for programs.
    pub json: PathBuf,
}

impl Files {
    /// Writes both files of a course, named after it. No file is overwritten: a second course of
    /// the same name is `NAME-2`.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub(crate) fn write(
        folder: &Path,
        name: &str,
        markdown: &str,
        json: &str,
    ) -> anyhow::Result<Self> {
        let context = || format!("{} cannot be written", folder.display());
        fs::create_dir_all(folder).with_context(context)?;
        let slug = slug(name);
        for copy in 1..=COPIES_MAX {
            let stem = if copy == 1 {
                slug.clone()
            } else {
                format!("{slug}-{copy}")
            };
            let files = Self {
                markdown: folder.join(format!("{stem}.md")),
                json: folder.join(format!("{stem}.json")),
            };
            // The JSON file is created first and decides who owns the name.
            if files.markdown.exists() {
                continue;
            }
            match File::create_new(&files.json) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                created => created.with_context(context)?.write_all(json.as_bytes())?,
            }
            fs::write(&files.markdown, markdown).with_context(context)?;
            return Ok(files);
        }
        bail!(
            "{} holds {COPIES_MAX} courses named {slug}",
            folder.display()
        )
    }
}

/// A file name from a topic: its letters and digits in lower case, joined by hyphens.
fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let joined: String = words
        .collect::<Vec<_>>()
        .join("-")
        .chars()
        .take(SLUG_MAX)
        .collect();
    let slug = joined.trim_end_matches('-');
    if slug.is_empty() {
        "course".to_owned()
    } else {
        slug.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_a_safe_file_name() {
        assert_eq!(slug("Tide pools"), "tide-pools");
        assert_eq!(slug("  C++ & Rust: 2 ways!  "), "c-rust-2-ways");
        assert_eq!(slug("Énergie solaire"), "énergie-solaire");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("?!"), "course");
        assert_eq!(slug(&"ab ".repeat(50)).chars().count(), 59);
    }

    #[test]
    fn a_second_course_of_the_same_name_overwrites_nothing() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;

        let first = Files::write(folder.path(), "Tides", "one", "1")?;
        let second = Files::write(folder.path(), "Tides", "two", "2")?;

        assert_eq!(fs::read_to_string(&first.markdown)?, "one");
        assert_eq!(second.markdown, folder.path().join("tides-2.md"));
        assert_eq!(fs::read_to_string(&second.json)?, "2");
        Ok(())
    }
}
