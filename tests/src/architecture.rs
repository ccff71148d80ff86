//! The rules of the code's shape, as functions over what cargo and the file system say.

use std::{collections::BTreeSet, env, fs, path::PathBuf, process::Command};

use anyhow::{Context, ensure};
use serde_json::Value;

/// A file with more lines than this holds a second noun.
pub const LINES_MAX: usize = 500;

/// Who may import whom; `cli` and `e2e` are where both halves meet. See ARCHITECTURE.md for why.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("models", &[]),
    ("platform", &[]),
    ("inference", &[]),
    ("lanczos", &[]),
    ("media", &["lanczos"]),
    ("jobs", &["models"]),
    ("mail", &["models"]),
    ("fleet", &["jobs", "models", "platform"]),
    ("api", &["jobs", "mail", "models", "platform", "fleet"]),
    (
        "worker",
        &[
            "jobs",
            "mail",
            "media",
            "models",
            "platform",
            "fleet",
            "inference",
        ],
    ),
    ("bench", &["jobs", "models"]),
    (
        "cli",
        &[
            "models",
            "jobs",
            "platform",
            "fleet",
            "inference",
            "mail",
            "media",
            "api",
            "worker",
        ],
    ),
    (
        "e2e",
        &[
            "models",
            "jobs",
            "platform",
            "fleet",
            "inference",
            "mail",
            "media",
            "api",
            "worker",
            "cli",
        ],
    ),
];

/// What the API must never link: it does no slow work. Names, or beginnings of names with `*`.
const NOT_IN_API: &[&str] = &[
    "inference",
    "media",
    "worker",
    "candle-*",
    "tokenizers",
    "hf-hub",
    "image",
];

/// The root of the workspace, seen from the folder that tests run in. What the compiler knows of it may be
/// another clone, with which the target folder is shared.
pub fn root() -> PathBuf {
    let here = env::current_dir().expect("the folder of the tests exists");
    here.parent().expect("tests/ lies in the root").to_owned()
}

/// The edges between our own crates, as `(importer, imported)`, of every kind of dependency.
pub fn edges() -> anyhow::Result<Vec<(String, String)>> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&text)?;
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"]
        .as_array()
        .context("cargo lists no packages")?;
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let mut edges = Vec::new();
    for package in packages {
        let dependencies = package["dependencies"]
            .as_array()
            .context("no dependencies")?;
        // A crate names itself among its dependencies to test with another set of features.
        let other = |imported: &String| ours.contains(imported) && *imported != name(package);
        let imported = dependencies.iter().map(name).filter(other);
        edges.extend(imported.map(|imported| (name(package), imported)));
    }
    Ok(edges)
}

/// The names of all crates that `package` links, itself included.
pub fn tree(package: &str) -> anyhow::Result<BTreeSet<String>> {
    let edges = "--edges=normal,build";
    let text = cargo(&[
        "tree",
        "-p",
        package,
        edges,
        "--prefix=none",
        "--format={p}",
    ])?;
    Ok(text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect())
}

/// The edges that the table forbids; a crate that the table does not know may import nothing.
pub fn forbidden_edges(edges: &[(String, String)]) -> Vec<String> {
    let allowed = |importer: &str, imported: &str| {
        let row = MAY_IMPORT.iter().find(|(name, _)| *name == importer);
        row.is_some_and(|(_, imports)| imports.contains(&imported))
    };
    let forbidden = edges
        .iter()
        .filter(|(importer, imported)| !allowed(importer, imported));
    forbidden
        .map(|(importer, imported)| format!("{importer} imports {imported}"))
        .collect()
}

/// The crates of a lock file, with their versions.
pub fn locked(file: &str) -> anyhow::Result<BTreeSet<(String, String)>> {
    let text = fs::read_to_string(root().join(file))?;
    let packages = text.split("[[package]]\n").skip(1).map(|package| {
        let mut words = package.split('"').skip(1).step_by(2);
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    packages.collect::<Option<_>>().context("no lock file")
}

/// What stands in a dependency tree of the API and must not.
pub fn forbidden_in_api(tree: &BTreeSet<String>) -> Vec<String> {
    let forbidden = |name: &str| {
        NOT_IN_API.iter().any(|rule| match rule.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == *rule,
        })
    };
    tree.iter()
        .filter(|name| forbidden(name))
        .cloned()
        .collect()
}

/// Every Rust file of the workspace with its number of lines, generated folders left out.
pub fn rust_files() -> anyhow::Result<Vec<(PathBuf, usize)>> {
    let text = run(Command::new("git").args(["ls-files", "-co", "--exclude-standard", "*.rs"]))?;
    let mut files = Vec::new();
    for file in text.lines().map(PathBuf::from) {
        let path = root().join(&file);
        // A file that was deleted and not yet committed is still listed.
        if path.exists() {
            files.push((file, fs::read_to_string(path)?.lines().count()));
        }
    }
    Ok(files)
}

/// The names of the modules in a folder, `mod` and `lib` left out.
pub fn modules(folder: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root().join(folder)).with_context(|| folder.to_owned())? {
        let path = entry?.path();
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "rs") && stem != "mod" {
            names.insert(stem.to_owned());
        }
    }
    Ok(names)
}

fn cargo(args: &[&str]) -> anyhow::Result<String> {
    // Whoever runs this test has just built the workspace, so everything is at hand.
    run(Command::new(env!("CARGO"))
        .args(args)
        .args(["--locked", "--offline"]))
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.current_dir(root()).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(importer: &str, imported: &str) -> (String, String) {
        (importer.to_owned(), imported.to_owned())
    }

    #[test]
    fn the_checker_names_each_forbidden_edge_and_only_those() {
        let made_up = [
            edge("api", "models"),
            edge("api", "worker"),
            edge("jobs", "models"),
            edge("models", "jobs"),
            edge("utils", "models"),
        ];

        let found = forbidden_edges(&made_up);

        let expected = [
            "api imports worker",
            "models imports jobs",
            "utils imports models",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_checker_finds_candle_under_any_name() {
        let names = [
            "api",
            "candle-core",
            "candle-kernels",
            "serde",
            "inference",
            "imagesize",
        ];

        let found = forbidden_in_api(&names.map(str::to_owned).into());

        assert_eq!(found, ["candle-core", "candle-kernels", "inference"]);
    }
}
