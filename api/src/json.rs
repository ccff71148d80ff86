//! JSON out: serde decides the bytes, and the schema is derived from the same type.

use std::borrow::Cow;

use bytes::Bytes;
use poem::{Body, IntoResponse, Response};
use poem_openapi::{
    payload::Payload,
    registry::{MetaSchema, MetaSchemaRef, Registry},
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::problem::Problem;

/// A JSON answer.
#[derive(Debug)]
pub(crate) struct Json<T>(Inner<T>);

#[derive(Debug)]
enum Inner<T> {
    /// Boxed, since the answers of one operation differ much in size.
    Value(Box<T>),
    Written(Bytes),
}

impl<T> Json<T> {
    /// Answers with `value`.
    pub(crate) fn new(value: T) -> Self {
        Self(Inner::Value(Box::new(value)))
    }

    /// Answers with a `T` that was written before.
    pub(crate) fn written(bytes: Bytes) -> Self {
        Self(Inner::Written(bytes))
    }
}

impl<T: Serialize + JsonSchema + Send> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        reference::<T>()
    }

    fn register(registry: &mut Registry) {
        register::<T>(registry, SchemaSettings::openapi3().for_serialize());
    }
}

impl<T: Serialize + Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let written = match self.0 {
            Inner::Value(value) => write(&value),
            Inner::Written(bytes) => Ok(bytes),
        };
        match written {
            Ok(bytes) => Response::builder()
                .content_type("application/json")
                .body(Body::from_bytes(bytes)),
            Err(problem) => problem.into_response(),
        }
    }
}

/// The bytes of a value.
pub(crate) fn write(value: &impl Serialize) -> Result<Bytes, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(bytes.into())
}

/// The reference by which the specification names the schema of `T`.
pub(crate) fn reference<T: JsonSchema>() -> MetaSchemaRef {
    MetaSchemaRef::Reference(name::<T>().into_owned())
}

/// The same reference as it is written in a document.
pub(crate) fn reference_path<T: JsonSchema>() -> String {
    format!("#/components/schemas/{}", name::<T>())
}

/// Registers the schema of `T`.
///
/// The framework's own schema type cannot hold one that was made elsewhere, so it travels as the
/// example of an empty schema; `openapi` puts it in its place.
pub(crate) fn register<T: JsonSchema>(registry: &mut Registry, settings: SchemaSettings) {
    registry.create_schema::<T, _>(name::<T>().into_owned(), |_| MetaSchema {
        example: Some(definitions::<T>(settings).into()),
        ..MetaSchema::ANY
    });
}

/// The schema of `T`, and of everything that it refers to, by their names.
pub(crate) fn definitions<T: JsonSchema>(settings: SchemaSettings) -> Map<String, Value> {
    let mut generator = settings.into_generator();
    generator.subschema_for::<T>();
    generator.take_definitions(true)
}

fn name<T: JsonSchema>() -> Cow<'static, str> {
    T::schema_name()
}

#[cfg(test)]
pub(crate) mod agreement {
    //! Holds schemas that are written by hand to the types that they describe.

    use std::collections::BTreeSet;

    use super::*;

    fn schema<S: JsonSchema>() -> Value {
        let mut all = definitions::<S>(SchemaSettings::openapi3().for_serialize());
        all.remove(name::<S>().as_ref()).unwrap_or_default()
    }

    /// The schema names exactly the members that the sample has.
    pub(crate) fn members<S: JsonSchema>(sample: &impl Serialize) -> serde_json::Result<()> {
        let sample = serde_json::to_value(sample)?;
        let names = |value: &Value| -> BTreeSet<String> {
            value
                .as_object()
                .map(|members| members.keys().cloned().collect())
                .unwrap_or_default()
        };

        assert_eq!(
            names(&schema::<S>()["properties"]),
            names(&sample),
            "{}",
            name::<S>()
        );
        Ok(())
    }

    /// The schema lists exactly these words.
    pub(crate) fn words<S: JsonSchema>(words: &[&str]) {
        let mut listed = BTreeSet::new();
        collect(&schema::<S>(), &mut listed);

        let words = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(listed, words, "{}", name::<S>());
    }

    fn collect(schema: &Value, words: &mut BTreeSet<String>) {
        for value in schema["enum"].as_array().into_iter().flatten() {
            words.extend(value.as_str().map(str::to_owned));
        }
        for part in schema["oneOf"].as_array().into_iter().flatten() {
            collect(part, words);
        }
    }
}
