//! Pieces of JSON schema, in the subset and the order that the decoder follows.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// A text of so many characters.
pub(crate) fn text(characters: &RangeInclusive<usize>) -> Value {
    json!({"type": "string", "minLength": characters.start(), "maxLength": characters.end()})
}

/// Exactly `count` items of one form.
pub(crate) fn list(item: &Value, count: usize) -> Value {
    json!({"type": "array", "items": item, "minItems": count, "maxItems": count})
}

/// Exactly these items, each of a form of its own.
pub(crate) fn tuple(items: &[Value]) -> Value {
    let count = items.len();
    json!({"type": "array", "prefixItems": items, "items": false, "minItems": count, "maxItems": count})
}

/// An object with all of these properties, written in this order, and no others.
pub(crate) fn object<const N: usize>(properties: [(&str, Value); N]) -> Value {
    let names: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let required = json!(names);
    let properties: Map<String, Value> = properties
        .into_iter()
        .map(|(name, form)| (name.to_owned(), form))
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}
