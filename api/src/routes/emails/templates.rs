//! What can be sent: each letter with its variables, and how it looks.

use mail::{Language, links, render, variables};
use models::templates::{Category, Holds, Template};
use poem_openapi::{
    ApiResponse, Enum, OpenApi, ResponseContent,
    param::{Path, Query},
    payload::PlainText,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::view::{EmailCategory, EmailTemplate};
use crate::{
    caller::{May, Permission},
    codes,
    json::Json,
    problem::Problem,
    routes::Tag,
};

/// The operations on letters.
pub(crate) struct Templates;

#[OpenApi(tag = "Tag::Emails")]
#[expect(
    clippy::unused_async,
    reason = "handlers are async by the macro's rule"
)]
impl Templates {
    /// Lists the letters that can be sent, with the variables that each takes.
    #[oai(
        path = "/v1/email-templates",
        method = "get",
        operation_id = "list_email_templates"
    )]
    async fn list_email_templates(&self, _may: May<{ Permission::ReadLetters as u8 }>) -> Listed {
        let templates = Template::ALL.iter().map(|one| TemplateView::of(*one));
        Listed::Ok(Json::new(TemplatesView {
            items: templates.collect(),
        }))
    }

    /// Shows a letter as its reader will see it, with made-up variables.
    #[oai(
        path = "/v1/email-templates/:template/preview",
        method = "get",
        operation_id = "preview_email_template"
    )]
    async fn preview_email_template(
        &self,
        _may: May<{ Permission::ReadLetters as u8 }>,
        /// The name of the letter.
        template: Path<String>,
        /// The language, a tag of BCP 47; English unless told.
        language: Query<Option<String>>,
        /// Which part of the mail; the page unless told.
        format: Query<Option<Format>>,
    ) -> Result<Previewed, Problem> {
        let template = template.parse::<Template>();
        let template = template
            .map_err(|_| Problem::new(&codes::NOT_FOUND, "There is no letter of this name."))?;
        let language = Language::find(language.as_deref().unwrap_or_default());
        let content = render(template, language, &variables(template), links(template));
        let content = content.map_err(|error| Problem::internal(error.to_string()))?;
        Ok(Previewed::Ok(match format.0.unwrap_or(Format::Html) {
            Format::Html => Form::Page(PlainText(content.html)),
            Format::Text => Form::Text(PlainText(content.text)),
        }))
    }
}

/// The part of a mail.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case", rename = "EmailFormat")]
enum Format {
    /// The page.
    Html,
    /// The plain text.
    Text,
}

#[derive(ApiResponse)]
enum Listed {
    /// Every letter.
    #[oai(status = 200)]
    Ok(Json<TemplatesView>),
}

#[derive(ApiResponse)]
enum Previewed {
    /// The letter.
    #[oai(status = 200)]
    Ok(Form),
}

#[derive(ResponseContent)]
enum Form {
    #[oai(content_type = "text/html; charset=utf-8")]
    Page(PlainText<String>),
    #[oai(content_type = "text/plain; charset=utf-8")]
    Text(PlainText<String>),
}

/// Every letter.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EmailTemplates")]
struct TemplatesView {
    items: Vec<TemplateView>,
}

/// A letter that can be sent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EmailTemplateDescription")]
struct TemplateView {
    /// Its name.
    #[schemars(with = "EmailTemplate")]
    name: Template,
    /// What it is about.
    #[schemars(with = "EmailCategory")]
    category: Category,
    /// The languages that it is written in.
    languages: Vec<&'static str>,
    /// What it takes; every variable is required.
    variables: Vec<VariableView>,
    /// Where it can be looked at.
    preview: String,
}

/// A variable of a letter.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EmailVariable")]
struct VariableView {
    /// Its name.
    name: &'static str,
    /// What it stands for.
    about: &'static str,
    /// What it holds, in words.
    holds: String,
}

impl TemplateView {
    fn of(template: Template) -> Self {
        let variables = template.variables().iter().map(|variable| VariableView {
            name: variable.name,
            about: variable.about,
            holds: in_words(variable.holds),
        });
        Self {
            name: template,
            category: template.category(),
            languages: Language::ALL
                .iter()
                .map(|language| language.tag())
                .collect(),
            variables: variables.collect(),
            preview: format!("/v1/email-templates/{template}/preview"),
        }
    }
}

fn in_words(holds: Holds) -> String {
    match holds {
        Holds::Line(max) => format!("a line of 1 to {max} characters"),
        Holds::Path(max) => format!("a path on this site, of at most {max} bytes"),
        Holds::Count(max) => format!("a whole number from 0 to {max}"),
        Holds::Lines(most, max) => format!("1 to {most} lines, each of 1 to {max} characters"),
    }
}
