//! Pieces of configuration that several commands share. The environment comes first, and
//! `--help` is the reference: there is no configuration file.

use std::{fmt, path::PathBuf, str::FromStr};

use anyhow::Context;
use clap::Args;

/// The file that holds everything of an embedded system, inside its data folder.
const DATABASE_FILE: &str = "lyo.sqlite";

/// A value that no log line, help text or debug output may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself: pass it on, never print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Where an embedded system keeps its data.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// The folder for the database and for downloaded models
    /// [default: `$XDG_DATA_HOME/lyo` or `~/.local/share/lyo`]
    #[arg(long, value_name = "FOLDER", env = "LYO_DATA")]
    data: Option<PathBuf>,

    /// Where the user keeps data, by the XDG base directory specification.
    #[arg(long, hide = true, env = "XDG_DATA_HOME")]
    xdg_data_home: Option<PathBuf>,
}

impl DataArgs {
    /// The data folder, which may not exist yet.
    ///
    /// # Errors
    /// When nothing says where it is: no `LYO_DATA`, no `XDG_DATA_HOME` and no home folder.
    pub fn folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.data {
            return Ok(folder.clone());
        }
        // The specification tells us to ignore a relative path.
        let user_data = self
            .xdg_data_home
            .clone()
            .filter(|folder| folder.is_absolute());
        user_data
            .or_else(|| Some(std::env::home_dir()?.join(".local/share")))
            .map(|folder| folder.join("lyo"))
            .context("no home folder: say where the data goes with --data or LYO_DATA")
    }
}

/// Which database to use.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// `postgres://USER:PASSWORD@HOST/NAME` or `sqlite://FILE`
    /// [default: SQLite, in the data folder]
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<Secret>,
}

impl DatabaseArgs {
    /// The URL of the database: the one that was asked for, or SQLite in the data folder.
    ///
    /// # Errors
    /// When the data folder is needed, and unknown or not UTF-8.
    pub fn url(&self, data: &DataArgs) -> anyhow::Result<Secret> {
        if let Some(url) = &self.database_url {
            return Ok(url.clone());
        }
        let file = data.folder()?.join(DATABASE_FILE);
        let file = file
            .to_str()
            .context("the data folder's name is not UTF-8")?;
        // In a URL, `?` ends the path and `%` starts an escape.
        let file = file.replace('%', "%25").replace('?', "%3f");
        Ok(Secret(format!("sqlite://{file}")))
    }

    /// Whether the database lies in the data folder: whoever has that folder locked has the database
    /// to itself.
    pub fn in_data_folder(&self) -> bool {
        self.database_url.is_none()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        database: DatabaseArgs,
    }

    fn parse(args: &[&str]) -> Command {
        Command::try_parse_from([&["lyo"], args].concat()).expect("the arguments are right")
    }

    #[test]
    fn the_database_lives_in_the_data_folder_unless_told_otherwise() {
        let command = parse(&["--data", "/srv/lyo"]);
        let url = command
            .database
            .url(&command.data)
            .expect("the folder is given");
        assert_eq!(url.expose(), "sqlite:///srv/lyo/lyo.sqlite");

        let command = parse(&["--database-url", "postgres://a:b@c/d"]);
        let url = command
            .database
            .url(&command.data)
            .expect("the URL is given");
        assert_eq!(url.expose(), "postgres://a:b@c/d");
    }

    #[test]
    fn a_relative_xdg_folder_is_ignored() {
        let command = parse(&["--xdg-data-home", "relative"]);
        let folder = command.data.folder().expect("tests have a home folder");
        assert!(folder.ends_with(".local/share/lyo"), "{folder:?}");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let command = parse(&["--database-url", "postgres://a:password@c/d"]);
        assert!(!format!("{:?}", command.database).contains("password"));
    }
}
