//! The shape of the code: crate edges, file sizes, and the files of each job kind.

use std::collections::BTreeSet;

use e2e::architecture::{
    LINES_MAX, edges, forbidden_edges, forbidden_in_api, locked, modules, rust_files, tree,
};

#[test]
fn crates_import_only_what_the_table_allows() -> anyhow::Result<()> {
    let edges = edges()?;

    assert!(
        edges.contains(&("api".to_owned(), "jobs".to_owned())),
        "cargo lists no edges"
    );
    assert_eq!(forbidden_edges(&edges), Vec::<String>::new());
    Ok(())
}

#[test]
fn the_api_links_neither_candle_nor_image_code() -> anyhow::Result<()> {
    let tree = tree("api")?;

    assert!(tree.contains("poem"), "cargo lists no tree: {tree:?}");
    assert_eq!(forbidden_in_api(&tree), Vec::<String>::new());
    Ok(())
}

#[test]
fn what_is_fuzzed_is_what_is_shipped() -> anyhow::Result<()> {
    let (shipped, fuzzed) = (locked("Cargo.lock")?, locked("media/fuzz/Cargo.lock")?);

    let names: BTreeSet<_> = shipped.iter().map(|(name, _)| name).collect();
    let others: Vec<_> = fuzzed
        .difference(&shipped)
        .filter(|(name, _)| names.contains(name))
        .collect();
    assert!(
        shipped.len() > 100 && fuzzed.len() > 10,
        "nothing is locked"
    );
    assert_eq!(others, Vec::<&(String, String)>::new());
    Ok(())
}

#[test]
fn no_file_holds_two_nouns() -> anyhow::Result<()> {
    let files = rust_files()?;

    assert!(files.len() > 20, "git lists no files");
    let long: Vec<_> = files
        .into_iter()
        .filter(|(_, lines)| *lines > LINES_MAX)
        .collect();
    assert_eq!(long, [], "over {LINES_MAX} lines");
    Ok(())
}

#[test]
fn every_job_kind_has_its_file_and_its_handler() -> anyhow::Result<()> {
    let kinds = modules("jobs/src/kinds")?;

    let handlers = modules("worker/src/handlers")?;

    assert_eq!(
        kinds, handlers,
        "jobs/src/kinds and worker/src/handlers name different files"
    );
    assert_eq!(
        kinds.len(),
        jobs::kinds::ALL.len(),
        "one file a kind, each listed in ALL"
    );
    Ok(())
}
