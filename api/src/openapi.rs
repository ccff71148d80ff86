//! The specification: what the framework knows of the operations, completed with the schemas that
//! serde's types have and with the problems of the table.

use poem_openapi::{LicenseObject, OpenApiService, ServerObject};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{
    codes::{self, Code, Scope},
    json::{definitions, reference_path},
    problem::{MEDIA_TYPE, ProblemBody},
    routes::{API, Api},
};

/// The operations, to be routed.
pub(crate) fn service() -> OpenApiService<Api, ()> {
    OpenApiService::new(API, "Lyo", env!("CARGO_PKG_VERSION"))
        .description(include_str!("openapi.md"))
        .license(LicenseObject::new("MIT OR Apache-2.0"))
        .server(ServerObject::new("/"))
}

/// The OpenAPI document, as JSON.
pub fn spec() -> String {
    let document = serde_json::from_str(&service().spec());
    let mut document: Value = document.expect("the framework writes JSON: a test reads it");
    place_schemas(&mut document);
    add_problems(&mut document);
    serde_json::to_string_pretty(&document).expect("it was read from JSON")
}

/// The page to try the API on, for a document.
pub(crate) fn page(document: &str) -> String {
    let service = service();
    // A script on the page holds the document; `<` would end it inside a text.
    let document = document.replace('<', "\\u003c");
    service
        .swagger_ui_html()
        .replace(&service.spec(), &document)
}

/// Puts each schema where its name is: `json::register` had to hand it over as an example.
fn place_schemas(document: &mut Value) {
    let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let mut real = definitions::<ProblemBody>(SchemaSettings::openapi3().for_serialize());
    for schema in schemas.values_mut() {
        if let Some(Value::Object(definitions)) = schema.get_mut("example").map(Value::take) {
            real.extend(definitions);
        }
    }
    schemas.extend(real);
}

/// Adds to each operation the problems that it can answer with.
fn add_problems(document: &mut Value) {
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else {
        return;
    };
    for (path, operations) in paths {
        for operation in operations
            .as_object_mut()
            .into_iter()
            .flat_map(Map::values_mut)
        {
            let id = operation["operationId"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let (bodies, rows) = (operation.get("requestBody").is_some(), path.contains('{'));
            let codes = codes::ALL.iter().filter(|code| match code.scope {
                Scope::Every => true,
                Scope::Bodies => bodies,
                Scope::Rows => rows,
                Scope::Operations(ids) => ids.contains(&id.as_str()),
                Scope::Nowhere | Scope::Tasks => false,
            });
            for code in codes {
                add_problem(&mut operation["responses"], code);
            }
        }
    }
}

/// Several problems of one status share its description.
fn add_problem(responses: &mut Value, code: &Code) {
    let response = &mut responses[code.status.to_string()];
    let line = format!("`{}`: {}.", code.name, code.title);
    let description = match response.get("description").and_then(Value::as_str) {
        Some(others) => format!("{others}\n\n{line}"),
        None => line,
    };
    response["description"] = description.into();
    response["content"][MEDIA_TYPE] = json!({"schema": {"$ref": reference_path::<ProblemBody>()}});
}
