//! The words of tus 1.0.0, a protocol for uploads that go on after a break: <https://tus.io>.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use models::files::{FILE_BYTES_MAX, clean_name};
use platform::storage::Digest;
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    error::ContentTypeError,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef},
};
use std::{io, pin::Pin};
use tokio::time::timeout;

use crate::{app::App, codes, limits::UPLOAD_METADATA_BYTES_MAX, problem::Problem};

/// The version that is spoken.
pub(crate) const VERSION: &str = "1.0.0";
/// What is spoken beyond the core.
pub(crate) const EXTENSIONS: &str = "creation,expiration,termination";
/// The type of a piece.
const MEDIA_TYPE: &str = "application/offset+octet-stream";

/// Refuses a client that speaks another version, or none.
pub(crate) fn check(version: Option<&str>) -> Result<(), Problem> {
    if version == Some(VERSION) {
        return Ok(());
    }
    let code = &codes::TUS_VERSION_NOT_SUPPORTED;
    Err(Problem::new(code, code.meaning))
}

/// What a client says of a file before it sends it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// What the file is called.
    pub(crate) name: String,
    /// The SHA-256 that the whole must have.
    pub(crate) digest: Option<Digest>,
}

impl Metadata {
    /// Reads `Upload-Metadata`: pairs of a key and a value in base64. `filename` and `sha256` are
    /// understood, other keys are passed over.
    pub(crate) fn parse(header: Option<&str>) -> Result<Self, Problem> {
        let wrong = |reason: &str| Problem::parameter("Upload-Metadata", reason);
        let header = header.unwrap_or_default();
        if header.len() > UPLOAD_METADATA_BYTES_MAX {
            return Err(wrong("must be at most 4096 bytes"));
        }
        let mut metadata = Self {
            name: clean_name(""),
            digest: None,
        };
        for pair in header
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = STANDARD.decode(value.trim()).ok();
            let value = value.and_then(|value| String::from_utf8(value).ok());
            let value = value.ok_or_else(|| wrong("must have values of UTF-8 in base64"))?;
            match key {
                "filename" | "name" => metadata.name = clean_name(&value),
                "sha256" => {
                    let digest = value
                        .parse()
                        .map_err(|_| wrong("has a `sha256` that is none"))?;
                    metadata.digest = Some(digest);
                }
                _ => {}
            }
        }
        Ok(metadata)
    }
}

/// Reads `Upload-Length`.
pub(crate) fn length(header: Option<&str>) -> Result<i64, Problem> {
    let wrong = || Problem::parameter("Upload-Length", "must say how many bytes the file has");
    let text = header.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let text = text.filter(|text| (1..=20).contains(&text.len()));
    let length = text.ok_or_else(wrong)?.parse().unwrap_or(i64::MAX);
    if length > FILE_BYTES_MAX {
        return Err(Problem::new(
            &codes::FILE_TOO_LARGE,
            codes::FILE_TOO_LARGE.meaning,
        ));
    }
    Ok(length)
}

/// Reads `Upload-Offset`.
pub(crate) fn offset(header: Option<&str>) -> Result<i64, Problem> {
    let wrong = || Problem::parameter("Upload-Offset", "must say where the piece begins");
    let text = header.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or_else(wrong)
}

/// A piece of a file, on its way.
pub(crate) struct Piece(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>);

impl Piece {
    /// The next bytes, from a client that sends some now and then.
    pub(crate) async fn next(&mut self, app: &App) -> Result<Option<Bytes>, Problem> {
        let cut = |error: io::Error| Problem::new(&codes::MALFORMED_REQUEST, error.to_string());
        if let Ok(read) = timeout(app.timeouts.body, self.0.next()).await {
            return read.transpose().map_err(cut);
        }
        let detail = "Nothing more of the body arrived in time.";
        Err(Problem::new(&codes::BODY_TIMEOUT, detail))
    }
}

impl<'a> ApiExtractor<'a> for Piece {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: MEDIA_TYPE,
                schema: MetaSchemaRef::Inline(Box::new(MetaSchema {
                    format: Some("binary"),
                    ..MetaSchema::new("string")
                })),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        match request.content_type() {
            Some(MEDIA_TYPE) => Ok(Self(Box::pin(body.take()?.into_bytes_stream()))),
            None => Err(ContentTypeError::ExpectContentType.into()),
            Some(other) => Err(ContentTypeError::NotSupported {
                content_type: other.to_owned(),
            }
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_and_never_trusted() -> Result<(), Problem> {
        let digest = Digest::of(b"abc");
        let encode = |text: &str| STANDARD.encode(text);
        let header = format!(
            "filename {},is_private,sha256 {}",
            encode("../../größe.png"),
            encode(&digest.to_string())
        );

        let metadata = Metadata::parse(Some(&header))?;

        assert_eq!(metadata.name, "größe.png");
        assert_eq!(metadata.digest, Some(digest));
        assert_eq!(Metadata::parse(None)?.name, "file");
        for wrong in [
            "filename !",
            "sha256 YWJj",
            "filename /w==",
            &"x".repeat(5_000),
        ] {
            assert!(Metadata::parse(Some(wrong)).is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn numbers_are_digits_only() {
        assert!(length(Some("0")).is_ok_and(|length| length == 0));
        for wrong in [
            None,
            Some(""),
            Some("-1"),
            Some("+1"),
            Some("1e3"),
            Some(" 1"),
        ] {
            assert!(
                length(wrong).is_err() && offset(wrong).is_err(),
                "{wrong:?}"
            );
        }
        assert!(length(Some("4294967297")).is_err(), "one byte too many");
        assert!(length(Some("99999999999999999999")).is_err());
    }
}
