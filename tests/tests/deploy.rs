//! The files that operators use name what exists.

use std::{collections::BTreeSet, fs};

use e2e::architecture::{root, rust_files};

fn read(file: &str) -> anyhow::Result<String> {
    Ok(fs::read_to_string(root().join(file))?)
}

#[test]
fn images_are_built_from_programs_that_exist_and_run_as_nobody() -> anyhow::Result<()> {
    for (package, program) in [("api", "lyo-api"), ("worker", "lyo-worker")] {
        let image = read(&format!("Dockerfile.{package}"))?;
        let manifest = read(&format!("{package}/Cargo.toml"))?;

        assert!(
            manifest.contains(&format!("name = \"{program}\"")),
            "{manifest}"
        );
        assert!(
            image.contains(&format!("-p {package} --bin {program}")),
            "{image}"
        );
        assert!(
            image.contains(&format!("CMD [\"{program}\", \"--check\"]")),
            "{image}"
        );
        assert!(image.contains("USER 10001"), "{image}");
        for file in ["compose.yaml", &format!("deploy/{package}.yaml")] {
            let text = read(file)?;
            assert!(
                text.contains(program) || text.contains(&format!("Dockerfile.{package}")),
                "{file}"
            );
        }
    }
    Ok(())
}

/// A worker writes the pictures that it works on to the folder for temporary files.
#[test]
fn a_read_only_root_leaves_a_place_for_temporary_files() -> anyhow::Result<()> {
    for (file, sealed, open) in [
        (
            "deploy/worker.yaml",
            "readOnlyRootFilesystem: true",
            "mountPath: /tmp}",
        ),
        ("compose.yaml", "read_only: true", "tmpfs: [/tmp]"),
    ] {
        let text = read(file)?;
        assert!(text.contains(sealed) && text.contains(open), "{file}");
    }
    Ok(())
}

#[test]
fn every_variable_is_in_the_example() -> anyhow::Result<()> {
    let example = read(".env.example")?;
    let mut names = BTreeSet::new();
    for (file, _) in rust_files()? {
        let text = fs::read_to_string(root().join(&file))?;
        let after = text.split("env = \"").skip(1);
        names.extend(after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    // What other programs read, too, and what only the benchmark reads, is no setting of lyo.
    let others = ["BENCH_TOKEN", "RUST_LOG", "XDG_DATA_HOME"];
    names.retain(|name| {
        name.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    });

    assert!(names.contains("LYO_MODEL"), "nothing was found");
    for name in names {
        let known = others.contains(&&*name) || example.contains(&format!("#{name}="));
        assert!(known, "{name} is not in .env.example");
    }
    Ok(())
}

#[test]
fn a_worker_is_given_longer_than_its_grace_period() -> anyhow::Result<()> {
    let seconds = |text: &str, key: &str| -> Option<u64> {
        let rest = text.split(key).nth(1)?;
        let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits
            .split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    for (file, given, grace) in [
        ("compose.yaml", "stop_grace_period", "LYO_GRACE: "),
        (
            "deploy/worker.yaml",
            "terminationGracePeriodSeconds",
            "name: LYO_GRACE",
        ),
    ] {
        let text = read(file)?;
        let (given, grace) = (seconds(&text, given), seconds(&text, grace));
        assert!(
            given.is_some() && grace < given,
            "{file}: {grace:?} of {given:?}"
        );
    }
    Ok(())
}
