//! Problem details (RFC 9457): the one place where errors become answers.

use std::{borrow::Cow, time::Duration};

use platform::storage;
use poem::{
    Body, IntoResponse, Response,
    error::{MethodNotAllowedError, NotFoundError, ReadBodyError, ResponseError},
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    error::{ContentTypeError, ParseParamError, ParsePathError},
    registry::{MetaResponses, Registry},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    codes::{self, Code},
    routes::files::tus,
};

/// The media type of every error.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// How long a client should wait while the database is away, in seconds.
const RETRY_AFTER_SECONDS: u64 = 2;

/// An error on its way to the client.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", code.name)]
pub(crate) struct Problem {
    /// What kind of problem it is.
    pub(crate) code: &'static Code,
    /// What is wrong with this very request; safe to show.
    pub(crate) detail: String,
    /// What is wrong with single fields or parameters.
    pub(crate) errors: Vec<FieldError>,
    /// Why it happened, for the log only.
    pub(crate) cause: Option<String>,
    /// How long the client should wait, in seconds, when that is known.
    pub(crate) retry_after: Option<u64>,
}

/// What is wrong with one field or parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FieldError {
    /// The field of the body, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    /// The parameter of the query, or the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    /// What is wrong, for programs: `missing`, `unknown` or `invalid`.
    pub(crate) code: Cow<'static, str>,
    /// What is wrong, for people.
    pub(crate) detail: String,
}

/// A problem as it is written: RFC 9457 and the members that this API adds.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct ProblemBody {
    /// Identifies the kind of problem; this API serves an explanation there.
    #[serde(rename = "type")]
    pub(crate) reference: String,
    /// The same for every problem of this kind.
    pub(crate) title: Cow<'static, str>,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What programs switch on: a closed vocabulary.
    pub(crate) code: Cow<'static, str>,
    /// What is wrong with this very request.
    pub(crate) detail: String,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    /// Finds the request in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
    /// What is wrong with single fields or parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldError>,
}

impl Problem {
    /// A problem whose detail is safe to show to the client.
    pub(crate) fn new(code: &'static Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            cause: None,
            retry_after: None,
        }
    }

    /// A failure of our own: the client learns nothing but that; the log gets the cause.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(&codes::INTERNAL, codes::INTERNAL.meaning)
        }
    }

    /// Somebody asks too often.
    pub(crate) fn limited(wait: Duration) -> Self {
        Self {
            retry_after: Some(seconds(wait)),
            ..Self::new(&codes::RATE_LIMITED, codes::RATE_LIMITED.meaning)
        }
    }

    /// A parameter of the query or a header that is wrong.
    pub(crate) fn parameter(name: &str, reason: impl Into<String>) -> Self {
        let detail = reason.into();
        Self {
            errors: vec![FieldError {
                pointer: None,
                parameter: Some(name.to_owned()),
                code: "invalid".into(),
                detail: detail.clone(),
            }],
            ..Self::new(&codes::INVALID_PARAMETER, format!("`{name}` {detail}"))
        }
    }

    /// A field of the body that is wrong, by its JSON pointer.
    pub(crate) fn field(pointer: &str, code: &'static str, reason: impl Into<String>) -> Self {
        let detail = reason.into();
        let subject = if pointer.is_empty() {
            "the body"
        } else {
            pointer
        };
        Self {
            detail: format!("{subject} {detail}"),
            errors: vec![FieldError {
                pointer: Some(pointer.to_owned()),
                parameter: None,
                code: code.into(),
                detail,
            }],
            ..Self::new(&codes::VALIDATION_FAILED, "")
        }
    }

    /// Any error that a request ended with: ours as it is, the framework's by its type.
    pub(crate) fn from_framework(error: poem::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(problem) => return problem,
            Err(error) => error,
        };
        if error.is::<NotFoundError>() {
            Self::new(&codes::NO_SUCH_PATH, codes::NO_SUCH_PATH.meaning)
        } else if error.is::<MethodNotAllowedError>() {
            Self::new(
                &codes::METHOD_NOT_ALLOWED,
                codes::METHOD_NOT_ALLOWED.meaning,
            )
        } else if error.is::<ParsePathError>() {
            // An id that is no id names nothing.
            Self::new(&codes::NOT_FOUND, codes::NOT_FOUND.title)
        } else if let Some(error) = error.downcast_ref::<ParseParamError>() {
            Self::parameter(error.name, requirement(&error.reason))
        } else if let Some(error) = error.downcast_ref::<ContentTypeError>() {
            Self::new(&codes::UNSUPPORTED_MEDIA_TYPE, error.to_string())
        } else if let Some(ReadBodyError::PayloadTooLarge) = error.downcast_ref() {
            Self::new(&codes::BODY_TOO_LARGE, codes::BODY_TOO_LARGE.meaning)
        } else if error.status().is_client_error() {
            Self::new(&codes::MALFORMED_REQUEST, error.to_string())
        } else {
            Self::internal(error.to_string())
        }
    }

    /// The problem as it is written, inside a batch for example.
    pub(crate) fn into_body(self) -> ProblemBody {
        ProblemBody {
            reference: self.code.reference(),
            title: self.code.title.into(),
            status: self.code.status,
            code: self.code.name.into(),
            detail: self.detail,
            instance: None,
            request_id: None,
            errors: self.errors,
        }
    }

    /// The answer to the request at `path`, with the headers that its status calls for.
    pub(crate) fn answer(self, path: &str, request_id: &str) -> Response {
        let code = self.code;
        let unavailable = (code.status == 503).then_some(RETRY_AFTER_SECONDS);
        let retry_after = self.retry_after.or(unavailable);
        let body = ProblemBody {
            instance: Some(path.to_owned()),
            request_id: Some(request_id.to_owned()),
            ..self.into_body()
        };
        let mut response = Response::builder()
            .status(StatusCode::from_u16(code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .content_type(MEDIA_TYPE)
            .body(Body::from_json(body).unwrap_or_else(|_| Body::empty()));
        if code.status == 401 {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // A client of tus looks there for a version that both speak.
        if code.name == codes::TUS_VERSION_NOT_SUPPORTED.name {
            let headers = response.headers_mut();
            headers.insert("tus-version", HeaderValue::from_static(tus::VERSION));
        }
        if code.status == 426 {
            let headers = response.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// What a parameter must be, in words, from the framework's name of the rule that it breaks.
fn requirement(reason: &str) -> String {
    let rule = reason
        .strip_prefix("verification failed. ")
        .unwrap_or(reason);
    let (name, bound) = rule.split_once('(').unwrap_or((rule, ""));
    let bound = bound.split([',', ')']).next().unwrap_or_default();
    match name {
        "minimum" => format!("must be at least {bound}"),
        "maximum" => format!("must be at most {bound}"),
        "pattern" => "does not have the right form".to_owned(),
        _ => format!("is not valid: {reason}"),
    }
}

impl From<models::Error> for Problem {
    fn from(error: models::Error) -> Self {
        use models::Error;
        match error {
            Error::NotFound(noun) => Self::new(
                &codes::NOT_FOUND,
                format!("There is no {noun} with this id."),
            ),
            Error::Invalid { field, reason } => Self::field(&field, "invalid", reason),
            // Somebody else's row is not there: its existence is not for others to know.
            Error::Forbidden => Self::new(&codes::NOT_FOUND, codes::NOT_FOUND.meaning),
            Error::Conflict(name) => match Code::find(name) {
                Some(code) => Self::new(code, code.meaning),
                None => Self::internal(format!("a conflict without a code: {name}")),
            },
            error if error.is_unavailable() => Self {
                cause: Some(error.to_string()),
                ..Self::new(
                    &codes::DATABASE_UNAVAILABLE,
                    codes::DATABASE_UNAVAILABLE.meaning,
                )
            },
            error => Self::internal(error.to_string()),
        }
    }
}

impl From<storage::Error> for Problem {
    fn from(error: storage::Error) -> Self {
        use storage::Error;
        let code = match &error {
            // The row says that the bytes are there.
            Error::NotFound | Error::Corrupt(_) => return Self::internal(error.to_string()),
            Error::Full(_) => &codes::STORAGE_FULL,
            Error::Unavailable(_) => &codes::STORAGE_UNAVAILABLE,
        };
        Self {
            cause: Some(error.to_string()),
            ..Self::new(code, code.meaning)
        }
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Lets handlers return `Result<_, Problem>`. The specification of the problems comes from the
/// table of codes, since most of them arise before or around a handler.
impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: Vec::new(),
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// Only for an error that leaves without passing the edge; the edge writes the full answer.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.answer("", "")
    }
}
/// Whole seconds, rounded up: whoever waits that long has waited long enough.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
