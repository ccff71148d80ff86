//! What surrounds every operation. Read `wrap` from the bottom up: the last line is the outermost.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures_util::FutureExt;
use metrics::{counter, histogram};
use poem::{
    Endpoint, EndpointExt, IntoResponse, Request, Response, Result,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, uri::PathAndQuery},
    middleware::Cors,
};
use tokio::time::timeout;
use tracing::{Instrument, debug, error, info_span};

use crate::{
    accept, codes,
    limits::Timeouts,
    methods::Methods,
    network::Network,
    origin,
    problem::{Problem, seconds},
    request::{REQUEST_ID, RequestContext, TRACEPARENT, check, text, wait},
    throttle::{Left, Policy},
};

/// What every answer tells a browser: it is what it says it is, stands in no frame of another site, and
/// its address, which may hold a token, is nobody else's business.
static SAFEGUARDS: [(HeaderName, HeaderValue); 3] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
];

/// Whether an answer may be part of another site's page: only where such pages are known.
static EMBEDDING: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// How much may be asked for, and what is left of it (draft-ietf-httpapi-ratelimit-headers).
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The headers of an answer that a page of another site may read.
const EXPOSED: [&str; 14] = [
    "content-location",
    "etag",
    "link",
    "location",
    "preference-applied",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "tus-resumable",
    "tus-version",
    "upload-expires",
    "upload-length",
    "upload-offset",
    "x-request-id",
];

/// How long a browser remembers what it may send.
const PREFLIGHT_SECONDS: i32 = 2 * 60 * 60;

/// Puts the edge around the paths.
pub(crate) fn wrap<E>(
    paths: E,
    methods: Methods,
    timeouts: Timeouts,
    open: bool,
    network: Network,
) -> impl Endpoint<Output = Response> + 'static
where
    E: Endpoint<Output = Response> + 'static,
{
    let methods = Arc::new(methods);
    let cors = (!network.origins().is_empty(), cors(&network));
    let embedding = if cors.0 {
        "cross-origin"
    } else {
        "same-origin"
    };
    paths
        // Next to the paths, since what they check is theirs.
        .before(async |request: Request| Ok(accept::check(&request).map(|()| request)?))
        .before(async |request: Request| Ok(check(request.headers()).map(|()| request)?))
        // Outside of that, so that waiting counts whatever a handler does.
        .around(move |paths, request| give_up(paths, request, timeouts))
        // Before any work is done for somebody else's page. Where everybody has to send a token, a page
        // of another site has none.
        .before(move |request: Request| {
            let network = network.clone();
            async move {
                if open {
                    origin::check(&request)?;
                }
                origin::check_host(&request, &network)?;
                Ok(request)
            }
        })
        // Outside of all that may panic; it makes an error of it, which the next line answers.
        .around(catch_panic)
        // Outside of all that may fail: every error becomes a problem here, and nowhere else.
        .around(move |paths, request| answer(paths, request, methods.clone(), embedding))
        // Outside of the answers, so that pages may read problems too.
        .with_if(cors.0, cors.1)
        .around(refuse_origin)
}

/// Lets pages of the configured origins use the API. They send their tokens themselves: a browser adds
/// none, so no other page can act for somebody.
fn cors(network: &Network) -> Cors {
    let network = network.clone();
    let known = move |origin: &str| network.origins().iter().any(|known| known == origin);
    Cors::new()
        .allow_origins_fn(known)
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT_SECONDS)
}

/// What the layer for browsers refuses is a problem like all others.
async fn refuse_origin<E: Endpoint<Output = Response>>(
    edge: Arc<E>,
    request: Request,
) -> Result<Response> {
    let uri = request.uri().clone();
    let sent = request.headers().get(REQUEST_ID).cloned();
    let answered = edge.call(request).await;
    Ok(answered.unwrap_or_else(|_| {
        let code = &codes::ORIGIN_NOT_ALLOWED;
        let context = RequestContext::named(sent.as_ref());
        Problem::new(code, code.meaning).answer(uri.path(), &context.request_id)
    }))
}

/// Runs a request in its span, and makes a problem of whatever error it ends with.
async fn answer<E: Endpoint>(
    paths: Arc<E>,
    mut request: Request,
    methods: Arc<Methods>,
    embedding: &'static str,
) -> Result<Response> {
    let context = RequestContext::new(request.headers());
    let traceparent = context
        .trace_id
        .as_ref()
        .and(request.headers().get(TRACEPARENT).cloned());
    // Logs and problems name the path that the client sent, not the one that it stands for.
    let sent_path = request.uri().path().to_owned();
    resolve_alias(&mut request);
    let path = request.uri().path().to_owned();
    let started = Instant::now();
    let span = info_span!(
        "http.request",
        request.id = %context.request_id,
        http.method = %request.method(),
        http.path = %sent_path,
    );
    request.set_data(context.clone());
    let method = request.method().to_string();

    let mut response = match paths.call(request).instrument(span.clone()).await {
        Ok(response) => response.into_response(),
        Err(error) => {
            let problem = Problem::from_framework(error);
            span.in_scope(|| log(&problem));
            let not_allowed = problem.code.status == codes::METHOD_NOT_ALLOWED.status;
            let mut response = problem.answer(&sent_path, &context.request_id);
            if not_allowed && let Ok(allow) = methods.allow(&path).parse() {
                response.headers_mut().insert(header::ALLOW, allow);
            }
            response
        }
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT, traceparent);
    }
    for (name, value) in &SAFEGUARDS {
        headers.insert(name, value.clone());
    }
    headers.insert(&EMBEDDING, HeaderValue::from_static(embedding));
    if let Some((policy, left)) = context.budget.get() {
        tell_budget(headers, *policy, *left);
    }
    let seconds = started.elapsed().as_secs_f64();
    let status = response.status().as_str().to_owned();
    counter!("http_requests_total", "method" => method.clone(), "status" => status).increment(1);
    histogram!("http_request_seconds", "method" => method).record(seconds);
    span.in_scope(|| {
        let duration_ms = seconds * 1_000.0;
        debug!(
            http.status = response.status().as_u16(),
            duration_ms, "Answered {sent_path}"
        );
    });
    Ok(response)
}

/// Says how much may be asked for, and what is left of it.
fn tell_budget(headers: &mut HeaderMap, policy: Policy, left: Left) {
    let Policy { name, burst, .. } = policy;
    let (window, whole_in) = (seconds(policy.window()), seconds(left.whole_in));
    let lines = [
        (
            &RATE_LIMIT_POLICY,
            format!("\"{name}\";q={burst};w={window}"),
        ),
        (
            &RATE_LIMIT,
            format!("\"{name}\";r={};t={whole_in}", left.requests),
        ),
    ];
    for (name, line) in lines {
        if let Ok(line) = HeaderValue::try_from(line) {
            headers.insert(name, line);
        }
    }
}

/// A 5xx never says why to the client; here it says so, once.
fn log(problem: &Problem) {
    if problem.code.status >= 500 {
        let cause = problem.cause.as_deref().unwrap_or("no further cause");
        error!(
            problem.code = problem.code.name,
            "Answered {}: {cause}", problem.code.name
        );
    }
}

async fn catch_panic<E: Endpoint>(paths: Arc<E>, request: Request) -> Result<E::Output> {
    // A panicking handler leaves nothing half-done behind: its transaction rolls back.
    match AssertUnwindSafe(paths.call(request)).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Problem::internal(format!("panicked: {}", said.unwrap_or("?"))).into())
        }
    }
}

/// Bounds the time until an answer begins; streams go on after that for as long as they like.
async fn give_up<E: Endpoint>(
    paths: Arc<E>,
    request: Request,
    timeouts: Timeouts,
) -> Result<E::Output> {
    let patience = if brings_a_file(&request) {
        timeouts.upload
    } else {
        timeouts.request
    };
    let asked = wait(text(request.headers(), "prefer")).unwrap_or_default();
    match timeout(patience + asked, paths.call(request)).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(&codes::REQUEST_TIMEOUT, codes::REQUEST_TIMEOUT.meaning).into()),
    }
}

/// Whether the body of a request is a file, which takes as long as it takes.
fn brings_a_file(request: &Request) -> bool {
    let path = request.uri().path();
    match *request.method() {
        Method::POST => path == "/v1/files" || path.ends_with("/complete"),
        Method::PATCH => path.starts_with("/v1/uploads/"),
        _ => false,
    }
}

/// Lets the names under `/api` stand for the real ones.
fn resolve_alias(request: &mut Request) {
    let Some(path) = request.uri().path().strip_prefix("/api") else {
        return;
    };
    let path = match path {
        "/health" => "/healthz",
        "/ready" => "/readyz",
        "/metrics" => "/metrics",
        path if path.starts_with("/v1/") => path,
        _ => return,
    };
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}
