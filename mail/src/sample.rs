//! Made-up variables, so that a letter can be looked at before anybody gets it.

use models::templates::{Category, Template};
use serde_json::{Map, Value, json};

use crate::letter::Links;

/// Variables that the letter takes.
pub fn variables(template: Template) -> Map<String, Value> {
    let value = match template {
        Template::VerifyEmail
        | Template::ResetPassword
        | Template::ChangeAddress
        | Template::Welcome => json!({"name": "Ada"}),
        Template::CourseReady => json!({
            "name": "Ada",
            "title": "Tide pools: life between the tides",
            "lessons": 6,
            "path": "/courses/01990000-0000-7000-8000-000000000000",
        }),
        Template::SecurityNotice => json!({
            "name": "Ada",
            "event": "A new device signed in",
            "time": "21 November 2026, 12:00 UTC",
            "place": "Firefox on Linux, Lisbon",
        }),
        Template::Digest => json!({
            "name": "Ada",
            "period": "the week of 16 November",
            "items": [
                "12 learners finished “Tide pools”",
                "A learner asked about lesson 3",
                "“Estuaries” is waiting for your review",
            ],
            "path": "/courses",
        }),
    };
    value.as_object().cloned().unwrap_or_default()
}

/// Links with tokens that prove nothing.
pub fn links(template: Template) -> Links<'static> {
    let refusable = template.category() != Category::Account;
    Links {
        site: "https://lyo.example",
        token: template.purpose().map(|_| "sample"),
        unsubscribe: refusable.then_some("sample"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_passes_the_check_of_its_letter() {
        for template in Template::ALL {
            assert!(template.check(&variables(*template)).is_ok(), "{template}");
        }
    }
}
