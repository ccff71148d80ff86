//! The specification: what the framework knows of the operations, completed with the schemas that
//! serde's types have and with the problems of the table.

use std::sync::LazyLock;

use poem_openapi::{LicenseObject, OpenApiService, ServerObject};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{
    caller::PUBLIC,
    codes::{self, Code, Scope},
    json::{definitions, reference_path},
    limits::IDEMPOTENCY_KEY_LENGTH_MAX,
    problem::{MEDIA_TYPE, ProblemBody},
    routes::{API, Api},
};

/// The member of an operation that says which permission it takes.
const PERMISSION: &str = "x-permission";

/// The name of the one way to say who calls.
const SCHEME: &str = "bearer";

/// The operations, to be routed.
pub(crate) fn service() -> OpenApiService<Api, ()> {
    OpenApiService::new(API, "Lyo", env!("CARGO_PKG_VERSION"))
        .description(include_str!("openapi.md"))
        .license(LicenseObject::new("MIT OR Apache-2.0"))
        .server(ServerObject::new("/"))
}

/// The OpenAPI document, as JSON.
pub fn spec() -> String {
    // It is the same for the whole life of the process, and nobody may ever ask for it.
    static SPEC: LazyLock<String> = LazyLock::new(|| complete(&service().spec()));
    SPEC.clone()
}

fn complete(framework: &str) -> String {
    let document = serde_json::from_str(framework);
    let mut document: Value = document.expect("the framework writes JSON: a test reads it");
    place_schemas(&mut document);
    declare_permissions(&mut document);
    add_problems(&mut document);
    describe_keys(&mut document);
    serde_json::to_string_pretty(&document).expect("it was read from JSON")
}

/// The page to try the API on.
pub(crate) fn page() -> String {
    static PAGE: LazyLock<String> = LazyLock::new(|| {
        // A script on the page holds the document; `<` would end it inside a text.
        let document = spec().replace('<', "\\u003c");
        let service = service();
        service
            .swagger_ui_html()
            .replace(&service.spec(), &document)
    });
    PAGE.clone()
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
        let handed_over = schema.get_mut("example").map(Value::take);
        for (name, schema) in handed_over
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let known = real.insert(name.clone(), schema.clone());
            // What is read and what is written have different schemas, so they need two names.
            debug_assert!(
                known.is_none_or(|known| known == *schema),
                "two schemas named {name}"
            );
        }
    }
    schemas.extend(real);
}

/// Moves the permission of each operation to where it belongs: `caller` had to hand it over as the
/// name of a scheme.
fn declare_permissions(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of `POST /v1/login`.",
    }});
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else {
        return;
    };
    for operation in paths
        .values_mut()
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
    {
        let handed_over = operation["security"][0].as_object();
        let name = handed_over.and_then(|scheme| scheme.keys().next()).cloned();
        operation["security"] = match name.as_deref() {
            None | Some(PUBLIC) => json!([]),
            Some(_) => json!([{SCHEME: []}]),
        };
        operation[PERMISSION] = name.into();
    }
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
            let guarded = operation[PERMISSION] != PUBLIC;
            let (bodies, rows) = (operation.get("requestBody").is_some(), path.contains('{'));
            let codes = codes::ALL.iter().filter(|code| match code.scope {
                Scope::Every => true,
                Scope::Bodies => bodies,
                Scope::Rows => rows,
                Scope::Guarded => guarded,
                Scope::GuardedAnd(ids) => guarded || ids.contains(&id.as_str()),
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

/// Says what `Idempotency-Key` takes. The framework would refuse others itself if it knew, with a
/// code that says less.
fn describe_keys(document: &mut Value) {
    let paths = document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten();
    let operations = paths.filter_map(|(_, path)| path.as_object_mut()).flatten();
    for (_, operation) in operations {
        let id = operation["operationId"].as_str().unwrap_or_default();
        let required = matches!(
            codes::IDEMPOTENCY_KEY_REQUIRED.scope,
            Scope::Operations(ids) if ids.contains(&id)
        );
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten();
        for parameter in parameters.filter(|parameter| {
            parameter["name"]
                .as_str()
                .is_some_and(|name| name.eq_ignore_ascii_case("idempotency-key"))
        }) {
            if required {
                parameter["required"] = true.into();
            }
            let schema = &mut parameter["schema"];
            schema["minLength"] = 1.into();
            schema["maxLength"] = IDEMPOTENCY_KEY_LENGTH_MAX.into();
            schema["pattern"] = "^[ -~]+$".into();
        }
    }
}
