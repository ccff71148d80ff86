//! `multipart/form-data` in: one file, streamed into the storage as it comes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;
use models::{
    file_usage,
    files::{FILE_BYTES_MAX, clean_name},
};
use multer::{Constraints, Field, SizeLimit};
use platform::storage::{Arrived, Incoming};
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    error::ContentTypeError,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef},
};
use tokio::time::timeout;

use crate::{
    app::App,
    caller::Caller,
    codes,
    limits::{
        DRAIN_BODY_TIMEOUT, DRAIN_BYTES_MAX, MULTIPART_EXTRA_BYTES_MAX, MULTIPART_HELD_BYTES_MAX,
    },
    problem::Problem,
};

const MEDIA_TYPE: &str = "multipart/form-data";
/// The part that holds the file.
const FIELD: &str = "file";

/// A body of several parts, of which none is read yet.
pub(crate) struct Multipart {
    parts: multer::Multipart<'static>,
    allowed: Arc<AtomicUsize>,
}

impl<'a> ApiExtractor<'a> for Multipart {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let file = MetaSchemaRef::Inline(Box::new(MetaSchema {
            format: Some("binary"),
            description: Some("The file, with its name in `filename`."),
            ..MetaSchema::new("string")
        }));
        let form = MetaSchema {
            required: vec![FIELD],
            properties: vec![(FIELD, file)],
            ..MetaSchema::new("object")
        };
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: MEDIA_TYPE,
                schema: MetaSchemaRef::Inline(Box::new(form)),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let content_type = request.content_type();
        let declared = content_type.ok_or(ContentTypeError::ExpectContentType)?;
        let boundary =
            multer::parse_boundary(declared).map_err(|_| ContentTypeError::NotSupported {
                content_type: declared.to_owned(),
            })?;
        let allowed = Arc::new(AtomicUsize::new(MULTIPART_HELD_BYTES_MAX));
        let paced = Paced {
            body: Box::pin(body.take()?.into_bytes_stream()),
            allowed: allowed.clone(),
            rests: false,
        };
        let whole = FILE_BYTES_MAX.unsigned_abs() + MULTIPART_EXTRA_BYTES_MAX;
        let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(whole));
        Ok(Self {
            parts: multer::Multipart::with_constraints(paced, boundary, limits),
            allowed,
        })
    }
}

impl Multipart {
    /// Writes the file into the storage, and answers its name. Nothing is left of it on an error.
    pub(crate) async fn receive(
        mut self,
        app: &App,
        caller: Caller,
    ) -> Result<(String, Arrived), Problem> {
        let storage = app.storage()?;
        let room = file_usage::get(&mut app.conn().await?, caller.owner)
            .await?
            .room();
        let missing = || Problem::field("/file", "missing", "must be there");
        let field = self.next(app).await?.ok_or_else(missing)?;
        if field.name() != Some(FIELD) {
            return Err(missing());
        }
        let name = clean_name(field.file_name().unwrap_or_default());
        let mut incoming = storage.begin().await?;
        let received = match self.write(app, field, &mut incoming, room).await {
            // Whether the body is whole is known only at its end.
            Ok(()) => self.end(app).await,
            Err(problem) => Err(problem),
        };
        match received {
            Ok(()) => Ok((name, incoming.finish().await?)),
            Err(problem) => {
                incoming.abort().await;
                self.drain().await;
                Err(problem)
            }
        }
    }

    /// Reads on for a while: most clients look for an answer only once they have sent all of it.
    async fn drain(&mut self) {
        self.allowed.store(DRAIN_BYTES_MAX, Ordering::Relaxed);
        let reading = async { while let Ok(Some(_)) = self.parts.next_field().await {} };
        // Whoever is slower, or has more to say, sees the connection close.
        drop(timeout(DRAIN_BODY_TIMEOUT, reading).await);
    }

    async fn write(
        &self,
        app: &App,
        mut field: Field<'static>,
        incoming: &mut Incoming,
        room: i64,
    ) -> Result<(), Problem> {
        while let Some(chunk) = patient(app, field.chunk()).await? {
            self.allowed
                .store(MULTIPART_HELD_BYTES_MAX, Ordering::Relaxed);
            incoming.write(&chunk).await?;
            let size = i64::try_from(incoming.size()).unwrap_or(i64::MAX);
            if size > FILE_BYTES_MAX {
                return Err(too_large());
            }
            if size > room {
                let code = &codes::QUOTA_EXCEEDED;
                return Err(Problem::new(code, code.meaning));
            }
        }
        Ok(())
    }

    async fn next(&mut self, app: &App) -> Result<Option<Field<'static>>, Problem> {
        patient(app, self.parts.next_field()).await
    }

    /// Reads to the end of the body, where nothing more may come.
    async fn end(&mut self, app: &App) -> Result<(), Problem> {
        match self.next(app).await? {
            None => Ok(()),
            Some(field) => {
                let name = field.name().unwrap_or_default().replace(['~', '/'], "_");
                let reason = "is not known: there is one part, named `file`";
                Err(Problem::field(&format!("/{name}"), "unknown", reason))
            }
        }
    }
}

/// Waits for a client that sends something now and then.
async fn patient<T>(
    app: &App,
    reading: impl Future<Output = multer::Result<T>>,
) -> Result<T, Problem> {
    if let Ok(read) = timeout(app.timeouts.body, reading).await {
        return read.map_err(|error| refusal(&error));
    }
    let detail = "Nothing more of the body arrived in time.";
    Err(Problem::new(&codes::BODY_TIMEOUT, detail))
}

fn too_large() -> Problem {
    Problem::new(&codes::FILE_TOO_LARGE, codes::FILE_TOO_LARGE.meaning)
}

fn refusal(error: &multer::Error) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            too_large()
        }
        error => Problem::new(&codes::MALFORMED_REQUEST, error.to_string()),
    }
}

/// A body that rests after each chunk. The parser reads as long as there is something to read: with
/// a quick client that would be all of it, and a part whose header never ends would be held for ever.
struct Paced {
    body: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    /// Bytes that may be read until the parser gives some away.
    allowed: Arc<AtomicUsize>,
    rests: bool,
}

impl Stream for Paced {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = ready!(self.body.as_mut().poll_next(cx));
        if let Some(Ok(bytes)) = &next {
            self.rests = true;
            let allowed = self.allowed.load(Ordering::Relaxed);
            let Some(left) = allowed.checked_sub(bytes.len()) else {
                let reason = "a header or what precedes the first part is too long";
                return Poll::Ready(Some(Err(io::Error::other(reason))));
            };
            self.allowed.store(left, Ordering::Relaxed);
        }
        Poll::Ready(next)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    fn paced(chunks: usize, allowed: &Arc<AtomicUsize>) -> Paced {
        let chunk = || Ok(Bytes::from(vec![b'x'; 64 * 1024]));
        Paced {
            body: Box::pin(stream::repeat_with(chunk).take(chunks)),
            allowed: allowed.clone(),
            rests: false,
        }
    }

    #[tokio::test]
    async fn what_is_never_given_away_ends_the_body() {
        let allowed = Arc::new(AtomicUsize::new(MULTIPART_HELD_BYTES_MAX));
        let chunks = MULTIPART_HELD_BYTES_MAX / (64 * 1024);

        assert!(paced(chunks, &allowed).all(async |read| read.is_ok()).await);
        assert!(paced(1, &allowed).all(async |read| read.is_err()).await);
        allowed.store(MULTIPART_HELD_BYTES_MAX, Ordering::Relaxed);
        assert!(paced(1, &allowed).all(async |read| read.is_ok()).await);
    }
}
