//! The pages that problems refer to by their `type`.

use poem::Request;
use poem_openapi::{ApiResponse, OpenApi, ResponseContent, param::Path, payload::PlainText};
use schemars::JsonSchema;
use serde::Serialize;

use super::Tag;
use crate::{
    accept,
    caller::Public,
    codes::{self, Code, Scope},
    json::Json,
    problem::Problem,
    request::text,
};

/// The operations on problems.
pub(crate) struct Problems;

#[OpenApi(tag = "Tag::Problems")]
impl Problems {
    /// Explains a problem and what to do about it.
    ///
    /// HTML for a browser, JSON for everything else.
    #[oai(
        path = "/problems/:code",
        method = "get",
        operation_id = "explain_problem"
    )]
    #[expect(
        clippy::unused_async,
        reason = "handlers are async by the macro's rule"
    )]
    async fn explain_problem(
        &self,
        _public: Public,
        /// The code of a problem, with `_` or with `-`.
        code: Path<String>,
        request: &Request,
    ) -> Result<Explained, Problem> {
        let unknown = || Problem::new(&codes::NOT_FOUND, "There is no problem with this code.");
        let code = Code::find(&code).ok_or_else(unknown)?;
        Ok(Explained::Ok(
            if accept::prefers_html(text(request.headers(), "accept")) {
                Form::Page(PlainText(page(code)))
            } else {
                Form::Json(Json::new(Explanation::of(code)))
            },
        ))
    }
}

#[derive(ApiResponse)]
enum Explained {
    /// What the problem means.
    #[oai(status = 200)]
    Ok(Form),
}

#[derive(ResponseContent)]
enum Form {
    Json(Json<Explanation>),
    #[oai(content_type = "text/html; charset=utf-8")]
    Page(PlainText<String>),
}

/// What a problem means.
#[derive(Debug, Serialize, JsonSchema)]
struct Explanation {
    /// The `type` of such problems.
    #[serde(rename = "type")]
    reference: String,
    /// The `code` of such problems.
    code: &'static str,
    /// Their HTTP status; none for what stands in the `error` of a task.
    status: Option<u16>,
    /// Their title.
    title: &'static str,
    /// What has happened.
    meaning: &'static str,
    /// What to do about it.
    remedy: &'static str,
}

impl Explanation {
    fn of(code: &'static Code) -> Self {
        Self {
            reference: code.reference(),
            code: code.name,
            status: (code.scope != Scope::Tasks).then_some(code.status),
            title: code.title,
            meaning: code.meaning,
            remedy: code.remedy,
        }
    }
}

/// The table holds no markup, so there is nothing to escape.
fn page(code: &Code) -> String {
    let Code {
        name,
        status,
        title,
        meaning,
        remedy,
        ..
    } = code;
    let status = match code.scope {
        Scope::Tasks => "in the error of a task".to_owned(),
        _ => format!("HTTP {status}"),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <h1>{title}</h1>\n<p><code>{name}</code>, {status}</p>\n\
         <h2>What has happened</h2>\n<p>{meaning}</p>\n<h2>What to do</h2>\n<p>{remedy}</p>\n</html>\n"
    )
}
