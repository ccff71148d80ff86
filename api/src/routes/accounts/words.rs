//! The fields that several requests about accounts have.

use std::fmt;

use models::{
    Address,
    passwords::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN},
};
use schemars::{Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::json;

use crate::{
    problem::Problem,
    routes::emails::letter::{address, address_schema, language_schema, name_schema},
};

/// A password as it was sent: nothing shows it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Password(String);

impl Password {
    /// The password itself: to be hashed, never to be shown.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A secret that a client sends in a body: nothing shows it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Token(String);

impl Token {
    /// The secret itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// An address of a person.
pub(crate) fn parse(text: &str) -> Result<Address, Problem> {
    address(text, "/address")
}

/// The schema of a password that is to be chosen.
pub(crate) fn new_password(_generator: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "type": "string",
        "description": "At least 10 characters, at most 256 bytes, and not easy to guess.",
        "minLength": PASSWORD_CHARS_MIN,
        "maxLength": PASSWORD_BYTES_MAX,
        "format": "password",
    });
    schema.try_into().unwrap_or_default()
}

/// The schema of a password that is known.
pub(crate) fn known_password(_generator: &mut SchemaGenerator) -> Schema {
    let schema = json!({"type": "string", "format": "password"});
    schema.try_into().unwrap_or_default()
}

/// The schema of an address.
pub(crate) fn mail_address(_generator: &mut SchemaGenerator) -> Schema {
    let mut schema = address_schema();
    schema["description"] = "The mail address of the account.".into();
    schema.try_into().unwrap_or_default()
}

/// The schema of a name that must be there.
pub(crate) fn person(_generator: &mut SchemaGenerator) -> Schema {
    let mut schema = name_schema();
    schema["nullable"] = false.into();
    schema.try_into().unwrap_or_default()
}

/// The schema of a language.
pub(crate) fn language(_generator: &mut SchemaGenerator) -> Schema {
    language_schema().try_into().unwrap_or_default()
}

/// The schema of a secret.
pub(crate) fn secret(_generator: &mut SchemaGenerator) -> Schema {
    let schema = json!({"type": "string", "maxLength": 200});
    schema.try_into().unwrap_or_default()
}

/// The schema of a code of a second factor.
pub(crate) fn code(_generator: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "type": "string",
        "description": "Six digits of the app, or a recovery code.",
        "maxLength": 40,
    });
    schema.try_into().unwrap_or_default()
}

/// The same where it may be absent.
pub(crate) fn optional_code(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = code(generator);
    schema.insert("nullable".to_owned(), true.into());
    schema
}
