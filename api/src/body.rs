//! JSON in: read within bounds, and refused with the pointer of the field that is wrong.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    error::ContentTypeError,
    payload::{Json as Framework, Payload},
    registry::{MetaMediaType, MetaRequest, Registry},
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::{
    app::App,
    codes,
    json::{reference, register},
    limits::{BODY_BYTES_MAX, BODY_TIMEOUT, JSON_DEPTH_MAX, WEBHOOK_BYTES_MAX},
    problem::Problem,
};

/// A JSON body of at most `BYTES_MAX` bytes.
#[derive(Debug)]
pub(crate) struct Body<T, const BYTES_MAX: usize = BODY_BYTES_MAX> {
    /// What the body says.
    pub(crate) value: T,
    /// The SHA-256 of its bytes, in hexadecimal: what a repeated request must match.
    pub(crate) fingerprint: String,
}

impl<'a, T, const BYTES_MAX: usize> ApiExtractor<'a> for Body<T, BYTES_MAX>
where
    T: DeserializeOwned + JsonSchema + Send,
{
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register::<T>(registry, SchemaSettings::openapi3());
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<T>())
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = read(request, body, BYTES_MAX).await?;
        Ok(Self {
            value: parse(&bytes)?,
            fingerprint: fingerprint(&bytes),
        })
    }
}

/// The bytes of a JSON body as they came, for those who check a signature over them; it is said to
/// be a `T`.
#[derive(Debug)]
pub(crate) struct Raw<T> {
    pub(crate) bytes: Bytes,
    described: PhantomData<fn() -> T>,
}

impl<'a, T: JsonSchema> ApiExtractor<'a> for Raw<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register::<T>(registry, SchemaSettings::openapi3());
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<T>())
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self {
            bytes: read(request, body, WEBHOOK_BYTES_MAX).await?,
            described: PhantomData,
        })
    }
}

fn request_meta<T: JsonSchema>() -> MetaRequest {
    MetaRequest {
        description: None,
        content: vec![MetaMediaType {
            content_type: "application/json",
            schema: reference::<T>(),
        }],
        required: true,
    }
}

/// The bytes of a body that is declared as JSON.
async fn read(request: &Request, body: &mut RequestBody, bytes_max: usize) -> poem::Result<Bytes> {
    check_content_type(request.content_type())?;
    let reading = body.take()?.into_bytes_limit(bytes_max);
    let patience = request
        .data::<App>()
        .map_or(BODY_TIMEOUT, |app| app.timeouts.body);
    let bytes = timeout(patience, reading)
        .await
        .map_err(|_| Problem::new(&codes::BODY_TIMEOUT, codes::BODY_TIMEOUT.meaning))??;
    Ok(bytes)
}

/// The SHA-256 of a body, in hexadecimal.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn check_content_type(content_type: Option<&str>) -> Result<(), ContentTypeError> {
    match content_type {
        None => Err(ContentTypeError::ExpectContentType),
        Some(text) if Framework::<Value>::check_content_type(text) => Ok(()),
        Some(text) => Err(ContentTypeError::NotSupported {
            content_type: text.to_owned(),
        }),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if depth(bytes) > JSON_DEPTH_MAX {
        let detail = format!("The body nests more than {JSON_DEPTH_MAX} levels deep.");
        return Err(Problem::new(&codes::MALFORMED_JSON, detail));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| refusal(error.path(), error.inner()))?;
    match reader.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(Problem::new(&codes::MALFORMED_JSON, error.to_string())),
    }
}

/// A JSON object, read as `T`. Serde would take an array for a struct too, field by field.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// How deep arrays and objects nest, counted before anything is built from them.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// What serde found wrong, in the words of the API.
fn refusal(path: &Path, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    if !error.is_data() {
        return Problem::new(&codes::MALFORMED_JSON, message);
    }
    // Lines and columns are noise beside a pointer.
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(text, _)| text);
    describe(&pointer(path), message)
}

/// A refusal that a model made of serde's message, with the field that the message names.
pub(crate) fn refine(error: models::Error) -> Problem {
    match error {
        models::Error::Invalid { field, reason } => match reason.strip_prefix("is not valid: ") {
            Some(message) => describe(&field, message),
            None => Problem::field(&field, "invalid", reason),
        },
        error => error.into(),
    }
}

/// Serde names a missing or unknown field in its message only.
fn describe(pointer: &str, message: &str) -> Problem {
    let named = message.split('`').nth(1).unwrap_or_default();
    let step = format!("/{}", escape(named));
    let below = if pointer.ends_with(&step) {
        pointer.to_owned()
    } else {
        format!("{pointer}{step}")
    };
    if message.starts_with("missing field") {
        Problem::field(&below, "missing", "is required")
    } else if message.starts_with("unknown field") {
        let known = message.split_once(", ").map_or("", |(_, known)| known);
        Problem::field(&below, "unknown", format!("is unknown: {known}"))
    } else {
        Problem::field(pointer, "invalid", format!("is not valid: {message}"))
    }
}

/// The JSON pointer of a path (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter()
        .fold(String::new(), |pointer, segment| match segment {
            Segment::Map { key } => format!("{pointer}/{}", escape(key)),
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Enum { .. } | Segment::Unknown => pointer,
        })
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only reading it is tested")]
        items: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only reading it is tested")]
        count: u8,
    }

    fn refused(text: &str) -> (&'static str, Option<String>) {
        let problem = parse::<Outer>(text.as_bytes()).expect_err("it is wrong");
        let pointer = problem
            .errors
            .first()
            .and_then(|error| error.pointer.clone());
        (problem.code.name, pointer)
    }

    #[test]
    fn every_refusal_names_its_field() {
        let at = |pointer: &str| ("validation_failed", Some(pointer.to_owned()));

        assert_eq!(refused("{}"), at("/items"));
        assert_eq!(refused("[[]]"), at(""), "an array is no object");
        assert_eq!(refused(r#""x""#), at(""));
        assert_eq!(refused(r#"{"items":[],"a/b":1}"#), at("/a~1b"));
        assert_eq!(
            refused(r#"{"items":[{"count":1},{}]}"#),
            at("/items/1/count")
        );
        assert_eq!(
            refused(r#"{"items":[{"count":300}]}"#),
            at("/items/0/count")
        );
        assert_eq!(
            refused(r#"{"items":[{"count":1,"colour":2}]}"#),
            at("/items/0/colour")
        );
    }

    #[test]
    fn what_is_not_json_is_told_apart() {
        for text in ["", "{", "nonsense", r#"{"items":[]} {}"#, "\u{feff}{}"] {
            assert_eq!(refused(text), ("malformed_json", None), "{text}");
        }
        let deep = "[".repeat(JSON_DEPTH_MAX + 1);
        assert_eq!(refused(&deep), ("malformed_json", None));
    }

    #[test]
    fn brackets_in_strings_are_not_depth() {
        assert_eq!(depth(br#"{"a":"[[[[\"[[","b":[1]}"#), 2);
    }
}
