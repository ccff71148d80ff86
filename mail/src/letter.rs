//! Compiles every letter once, and fills in the variables.

use std::{collections::HashMap, sync::LazyLock};

use minijinja::{Environment, UndefinedBehavior, Value as Filled, value::Serde};
use models::templates::{Category, Template};
use mrml::prelude::render::RenderOptions;
use serde_json::{Map, Value};

use crate::{
    compose::{mjml, text, wrap},
    language::Language,
    source::Source,
};

/// Why a letter cannot be rendered: its variables were not checked.
#[derive(Debug, thiserror::Error)]
#[error("the letter cannot be filled in: {0}")]
pub struct Error(#[from] minijinja::Error);

/// A letter as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The subject, one line.
    pub subject: String,
    /// The page.
    pub html: String,
    /// The same as plain text.
    pub text: String,
    /// The language that it is written in.
    pub language: Language,
}

/// Where the links of a letter lead.
#[derive(Clone, Copy, Debug)]
pub struct Links<'l> {
    /// The public address of the site, without a slash at its end.
    pub site: &'l str,
    /// The single-use token of a letter that carries one.
    pub token: Option<&'l str>,
    /// The token that unsubscribes, for letters that can be refused.
    pub unsubscribe: Option<&'l str>,
}

impl Links<'_> {
    /// Where a reader unsubscribes, and where a mail program does so with one click (RFC 8058).
    pub fn unsubscribe_url(&self) -> Option<String> {
        let token = self.unsubscribe?;
        Some(format!("{}/v1/unsubscribe?token={token}", self.site))
    }

    fn link(&self, template: Template, variables: &Map<String, Value>) -> String {
        let site = self.site;
        let token = self.token.unwrap_or_default();
        match template {
            Template::VerifyEmail | Template::ChangeAddress => {
                format!("{site}/verify-email?token={token}")
            }
            Template::ResetPassword => format!("{site}/reset-password?token={token}"),
            Template::Welcome => format!("{site}/courses/new"),
            Template::SecurityNotice => format!("{site}/account"),
            Template::CourseReady | Template::Digest => {
                let path = variables.get("path").and_then(Value::as_str);
                format!("{site}{}", path.unwrap_or_default())
            }
        }
    }
}

/// Renders a letter. Its variables must have passed [`Template::check`].
pub fn render(
    template: Template,
    language: Language,
    variables: &Map<String, Value>,
    links: Links<'_>,
) -> Result<Content, Error> {
    static LETTERS: LazyLock<Environment<'static>> =
        LazyLock::new(|| compile().expect("every letter compiles: a test renders them all"));
    let (link, unsubscribe) = (links.link(template, variables), links.unsubscribe_url());
    let filled = |form: &str, link: Filled, unsubscribe: Filled| -> Result<String, Error> {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| (name.as_str(), Filled::from(Serde(value))));
        let links = [("link", link), ("unsubscribe", unsubscribe)];
        let context = Filled::from_pairs(variables.chain(links));
        let letter = LETTERS.get_template(&name(template, language, form))?;
        Ok(letter.render(context)?)
    };
    // Addresses are ours or were checked: nothing but `&` needs escaping in an attribute.
    let attribute = |url: String| Filled::from_safe_string(url.replace('&', "&amp;"));
    let html = filled(
        "html",
        attribute(link.clone()),
        unsubscribe.clone().map_or(Filled::from(()), attribute),
    )?;
    let text = filled("txt", link.into(), unsubscribe.into())?;
    let subject = filled("subject", Filled::from(()), Filled::from(()))?;
    Ok(Content {
        subject,
        html,
        text: wrap(&text),
        language,
    })
}

fn name(template: Template, language: Language, form: &str) -> String {
    format!("{}/{template}.{form}", language.tag())
}

fn compile() -> Result<Environment<'static>, Box<dyn std::error::Error>> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // No fonts from elsewhere: reading a letter tells nobody.
    let options = RenderOptions {
        fonts: HashMap::new(),
        ..RenderOptions::default()
    };
    for language in Language::ALL {
        for template in Template::ALL {
            let source = Source::read(source(*language, *template)).ok_or("a header is missing")?;
            let refusable = template.category() != Category::Account;
            let parsed = mrml::parse(mjml(&source, *language, refusable))?;
            let html = parsed.element.render(&options)?;
            let forms = [
                ("html", html),
                ("txt", text(&source, *language, refusable)),
                ("subject", source.subject),
            ];
            for (form, text) in forms {
                environment.add_template_owned(name(*template, *language, form), text)?;
            }
        }
    }
    Ok(environment)
}

fn source(language: Language, template: Template) -> &'static str {
    macro_rules! of {
        ($folder:literal) => {
            match template {
                Template::VerifyEmail => {
                    include_str!(concat!("../letters/", $folder, "/verify_email.txt"))
                }
                Template::ResetPassword => {
                    include_str!(concat!("../letters/", $folder, "/reset_password.txt"))
                }
                Template::ChangeAddress => {
                    include_str!(concat!("../letters/", $folder, "/change_address.txt"))
                }
                Template::Welcome => include_str!(concat!("../letters/", $folder, "/welcome.txt")),
                Template::CourseReady => {
                    include_str!(concat!("../letters/", $folder, "/course_ready.txt"))
                }
                Template::SecurityNotice => {
                    include_str!(concat!("../letters/", $folder, "/security_notice.txt"))
                }
                Template::Digest => include_str!(concat!("../letters/", $folder, "/digest.txt")),
            }
        };
    }
    match language {
        Language::En => of!("en"),
        Language::De => of!("de"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{links, variables};

    #[test]
    fn every_letter_is_written_in_every_language_and_says_the_same_in_both_forms() {
        for (template, language) in all() {
            let content = render(template, language, &variables(template), links(template));
            let content = content.expect("the sample fits");
            let place = format!("{template} in {}", language.tag());

            for form in [&content.subject, &content.html, &content.text] {
                assert!(
                    !form.contains("{{") && !form.contains("{%"),
                    "{place}: {form}"
                );
                assert!(
                    !form.contains("{SUBJECT") && !form.contains("<mj-"),
                    "{place}: {form}"
                );
            }
            assert!(!content.subject.contains('\n'), "{place}");
            assert!(
                content
                    .html
                    .contains(&format!("lang=\"{}\"", language.tag())),
                "{place}"
            );
            assert!(content.html.contains("https://lyo.example/"), "{place}");
            assert!(content.text.contains("https://lyo.example/"), "{place}");
            let refusable = template.category() != Category::Account;
            assert_eq!(
                content.html.contains("/v1/unsubscribe?token="),
                refusable,
                "{place}"
            );
            assert_eq!(
                content.text.contains("/v1/unsubscribe?token="),
                refusable,
                "{place}"
            );
            let source = source(language, template);
            assert!(!source.contains(['<', '&']), "{place} needs escaping");
        }
    }

    #[test]
    fn a_letter_looks_like_this() {
        let content = render(
            Template::CourseReady,
            Language::En,
            &variables(Template::CourseReady),
            links(Template::CourseReady),
        );
        let content = content.expect("the sample fits");

        insta::assert_snapshot!("course_ready.subject", content.subject);
        insta::assert_snapshot!("course_ready.txt", content.text);
        insta::assert_snapshot!("course_ready.html", content.html);
    }

    #[test]
    fn variables_are_escaped_and_add_no_block() {
        let evil = "<script>alert(1)</script>\" onload=\"x {{ link }} {% if %} # > [x]";
        for (template, language) in all() {
            let mut variables = variables(template);
            for value in variables.values_mut() {
                match value {
                    Value::String(text) if !text.starts_with('/') => *text = evil.to_owned(),
                    Value::Array(lines) => lines.push(evil.into()),
                    _ => {}
                }
            }

            let content = render(template, language, &variables, links(template));
            let content = content.expect("the sample fits");

            assert!(!content.html.contains("<script>alert"), "{template}");
            assert!(!content.html.contains("\" onload"), "{template}");
            assert!(content.html.contains("&lt;script&gt;"), "{template}");
            assert!(
                content.text.contains("<script>"),
                "{template}: text is not escaped"
            );
        }
    }

    #[test]
    fn a_missing_variable_is_an_error() {
        let empty = Map::new();

        let rendered = render(
            Template::Welcome,
            Language::En,
            &empty,
            links(Template::Welcome),
        );

        assert!(rendered.is_err());
    }

    fn all() -> impl Iterator<Item = (Template, Language)> {
        let languages = |template: Template| Language::ALL.iter().map(move |one| (template, *one));
        Template::ALL.iter().copied().flat_map(languages)
    }
}
