//! The specification says what the code does.

use std::collections::BTreeSet;

use api::spec;
use models::testing::{TestDb, TestResult};
use serde_json::Value;

use crate::harness::Api;

#[test]
fn the_document_is_as_reviewed() -> serde_json::Result<()> {
    let document: Value = serde_json::from_str(&spec())?;

    insta::assert_json_snapshot!("openapi", document);
    Ok(())
}

#[test]
fn every_reference_leads_somewhere() -> serde_json::Result<()> {
    let document: Value = serde_json::from_str(&spec())?;
    let mut references = BTreeSet::new();
    collect(&document, &mut references);

    assert!(references.len() > 10, "{references:?}");
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(
            document.pointer(pointer).is_some_and(Value::is_object),
            "{reference}"
        );
    }
    Ok(())
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                references.insert(reference.to_owned());
            }
            members
                .values()
                .for_each(|member| collect(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn every_operation_documents_its_problems() -> serde_json::Result<()> {
    let document: Value = serde_json::from_str(&spec())?;
    let paths = document["paths"].as_object().into_iter().flatten();
    let mut ids = Vec::new();

    for (path, operations) in paths {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let problem = &operation["responses"]["500"]["content"]["application/problem+json"];
            assert_eq!(
                problem["schema"]["$ref"], "#/components/schemas/Problem",
                "{method} {path}"
            );
            ids.push(operation["operationId"].as_str().unwrap_or_default());
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    ids.sort_unstable();
    insta::assert_json_snapshot!("operations", ids);
    Ok(())
}

#[tokio::test]
async fn the_document_and_its_page_are_served() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = Api::new(&test.db);

    let document = api.get("/openapi.json").await?;
    let page = api.get("/docs").await?;

    assert_eq!(document.text, spec());
    assert_eq!(document.header("content-type"), "application/json");
    assert!(
        page.text.contains("create_course"),
        "the page holds the document"
    );
    assert!(
        page.text.contains("application/problem+json"),
        "the whole document"
    );
    test.close().await
}
