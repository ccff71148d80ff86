//! A letter as a request. The rules are those of `models`; here they are described, each letter with
//! the variables that it takes.

use std::borrow::Cow;

use models::{
    Address,
    emails::{ATTACHMENTS_MAX, Attachment, FILE_NAME_CHARS_MAX, Letter, MediaType},
    templates::{Holds, Template},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// One plain line, with something to see in it.
const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*[A-Za-z0-9][^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$";

/// A file name without a path, not hidden.
const FILE_NAME: &str = r#"^[^./\\":\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff][^/\\":\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$"#;

/// A letter to somebody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LetterBody {
    template: Template,
    variables: Map<String, Value>,
    to: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

impl LetterBody {
    /// The letter, or the first rule that it breaks.
    pub(crate) fn into_letter(self) -> Result<Letter, Problem> {
        let letter = Letter {
            to: address(&self.to, "/to")?,
            template: self.template,
            variables: self.variables,
            name: self.name,
            language: self.language.unwrap_or_else(|| "en".to_owned()),
            attachments: self.attachments,
        };
        Ok(letter.validate()?)
    }
}

/// An address of the body, or the problem with it. It is not repeated: problems may be logged.
pub(crate) fn address(text: &str, pointer: &str) -> Result<Address, Problem> {
    Address::parse(text).map_err(|error| match error {
        models::Error::Invalid { reason, .. } => Problem::field(pointer, "invalid", reason),
        error => error.into(),
    })
}

impl JsonSchema for LetterBody {
    fn schema_name() -> Cow<'static, str> {
        "Letter".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let each = Template::ALL.iter().map(|template| of(*template));
        json_schema!({
            "description": "A letter to somebody.",
            "oneOf": each.collect::<Vec<_>>(),
            "example": {
                "template": "welcome",
                "variables": {"name": "Ada"},
                "to": "ada@example.com",
                "language": "en",
            },
        })
    }
}

/// The schema of a request for this letter.
fn of(template: Template) -> Value {
    let variables = template.variables();
    let names: Vec<&str> = variables.iter().map(|variable| variable.name).collect();
    let properties: Map<String, Value> = variables
        .iter()
        .map(|variable| {
            let mut schema = held(variable.holds);
            schema["description"] = variable.about.into();
            (variable.name.to_owned(), schema)
        })
        .collect();
    json!({
        "type": "object",
        "title": template.as_str(),
        "required": ["template", "variables", "to"],
        "additionalProperties": false,
        "properties": {
            "template": {"type": "string", "enum": [template.as_str()]},
            "variables": {
                "type": "object",
                "description": "What stands in the letter.",
                "required": names,
                "additionalProperties": false,
                "properties": properties,
            },
            "to": address_schema(),
            "name": name_schema(),
            "language": language_schema(),
            "attachments": attachments(),
        },
    })
}

/// What an address looks like; some that do are refused, because they pass for another.
pub(crate) fn address_schema() -> Value {
    json!({
        "type": "string",
        "description": "Who gets it: NAME@DOMAIN. International domains may be written as they are read.",
        "maxLength": 254,
        "pattern": r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}@([a-z0-9]{1,63}\.){1,3}[a-z]{2,63}$",
    })
}

/// The name of a person.
pub(crate) fn name_schema() -> Value {
    json!({
        "type": "string",
        "nullable": true,
        "description": "How that person is called.",
        "minLength": 1,
        "maxLength": 100,
        "pattern": LINE,
    })
}

/// The tag of a language.
pub(crate) fn language_schema() -> Value {
    json!({
        "type": "string",
        "nullable": true,
        "description": "The language to write in, a tag of BCP 47. English where a letter is not written in it.",
        "maxLength": 35,
        "pattern": "^[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8})*$",
    })
}

fn attachments() -> Value {
    let types: Vec<&str> = MediaType::ALL.iter().map(|one| one.as_str()).collect();
    json!({
        "type": "array",
        "description": "Files that go with it, 32 KiB in all.",
        "maxItems": ATTACHMENTS_MAX,
        "items": {
            "type": "object",
            "required": ["name", "media_type", "base64"],
            "additionalProperties": false,
            "properties": {
                "name": {
                    "type": "string",
                    "description": "A plain file name.",
                    "minLength": 1,
                    "maxLength": FILE_NAME_CHARS_MAX,
                    "pattern": FILE_NAME,
                },
                "media_type": {"type": "string", "enum": types},
                "base64": {
                    "type": "string",
                    "description": "Its bytes.",
                    "maxLength": 8_000,
                    "pattern": "^([A-Za-z0-9+/]{4})*$",
                },
            },
        },
    })
}

fn held(holds: Holds) -> Value {
    match holds {
        Holds::Line(max) => {
            json!({"type": "string", "minLength": 1, "maxLength": max, "pattern": LINE})
        }
        Holds::Path(max) => json!({
            "type": "string",
            "maxLength": max,
            "pattern": "^/([A-Za-z0-9._~?=&#%+:@-][A-Za-z0-9._~/?=&#%+:@-]*)?$",
        }),
        Holds::Count(max) => json!({"type": "integer", "minimum": 0, "maximum": max}),
        Holds::Lines(most, max) => json!({
            "type": "array",
            "minItems": 1,
            "maxItems": most,
            "items": held(Holds::Line(max)),
        }),
    }
}
