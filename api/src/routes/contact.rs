//! Where the caller is reached, and what about.

use models::{Address, Conn, OwnerId, Tx, contacts, preferences, templates::Category, users};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    Tag,
    emails::letter::{address, address_schema, language_schema, name_schema},
    tasks::submission::object,
};
use crate::{
    app::App,
    body::Body,
    caller::{Caller, May, Permission},
    json::Json,
    problem::Problem,
};

/// The operations on the caller's contact.
pub(crate) struct Contacts;

#[OpenApi(tag = "Tag::Emails")]
impl Contacts {
    /// Reads where the caller gets mail, and about what.
    #[oai(path = "/v1/contact", method = "get", operation_id = "get_contact")]
    async fn get_contact(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadContact as u8 }>,
    ) -> Result<Known, Problem> {
        let view = view(&mut app.conn().await?, caller).await?;
        Ok(Known::Ok(Json::new(view)))
    }

    /// Says where the caller gets mail, and about what.
    ///
    /// Without an address there is no mail; another than that of the account is not taken. What is left
    /// out of `wants` stays as it is.
    #[oai(path = "/v1/contact", method = "put", operation_id = "update_contact")]
    async fn update_contact(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteContact as u8 }>,
        body: Body<ContactUpdate>,
    ) -> Result<Known, Problem> {
        let update = body.value;
        let name = update.name.as_deref();
        let language = update.language.as_deref().unwrap_or("en");
        // Also without an address: what cannot stand in a mail is never accepted.
        contacts::check(name, language)?;
        let told = update.address.as_deref();
        let told = told.map(|text| address(text, "/address")).transpose()?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        match told {
            None => _ = contacts::delete(&mut tx, caller.owner).await?,
            Some(address) => {
                let address = own(&mut tx, caller, address).await?;
                contacts::put(&mut tx, caller.owner, &address, name, language, now).await?;
                for (category, wanted) in update.wants.decided() {
                    preferences::put(&mut tx, &address, category, wanted, now).await?;
                }
            }
        }
        let view = view(&mut tx, caller).await?;
        tx.commit().await?;
        Ok(Known::Ok(Json::new(view)))
    }
}

/// The address as the account has it: nobody decides over a mailbox that they have not proven to read.
/// Whoever uses this machine alone has proven none, and says it.
async fn own(tx: &mut Tx, caller: Caller, told: Address) -> Result<Address, Problem> {
    if caller.owner == OwnerId::LOCAL {
        return Ok(told);
    }
    let user = users::hold(tx, caller.owner).await?;
    if users::key(&user.address) == users::key(&told) {
        return Ok(user.address);
    }
    let reason = "must be that of the account, which `PUT /v1/users/me/address` changes";
    Err(Problem::field("/address", "invalid", reason))
}

async fn view(conn: &mut Conn, caller: Caller) -> Result<ContactView, Problem> {
    let Some(contact) = contacts::find(conn, caller.owner).await? else {
        return Ok(ContactView::default());
    };
    let wants = preferences::list(conn, &contact.address).await?;
    let wanted = |category| wants.get(&category).copied().unwrap_or(true);
    Ok(ContactView {
        address: Some(contact.address.as_str().to_owned()),
        name: contact.name,
        language: Some(contact.language),
        wants: Some(Wanted {
            courses: wanted(Category::Courses),
            digest: wanted(Category::Digest),
        }),
    })
}

#[derive(ApiResponse)]
enum Known {
    /// What is known.
    #[oai(status = 200)]
    Ok(Json<ContactView>),
}

/// Where the caller gets mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ContactUpdate {
    /// The address; null to get no mail.
    // Required: an empty body must not mean that there shall be no mail.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schemars(required, schema_with = "nullable_address")]
    address: Option<String>,
    /// How the reader is called.
    #[serde(default)]
    #[schemars(schema_with = "name")]
    name: Option<String>,
    /// The language to write in; English unless told.
    #[serde(default)]
    #[schemars(schema_with = "language")]
    language: Option<String>,
    /// What the reader wants to be written to about.
    #[serde(default, deserialize_with = "wants")]
    wants: Wants,
}

/// An object alone: serde would take an array for it as well.
fn wants<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Wants, D::Error> {
    Wants::deserialize(object(deserializer)?).map_err(D::Error::custom)
}

fn nullable_address(_generator: &mut SchemaGenerator) -> Schema {
    let mut schema = address_schema();
    schema["nullable"] = true.into();
    schema.try_into().unwrap_or_default()
}

fn name(_generator: &mut SchemaGenerator) -> Schema {
    name_schema().try_into().unwrap_or_default()
}

fn language(_generator: &mut SchemaGenerator) -> Schema {
    language_schema().try_into().unwrap_or_default()
}

/// What a reader decides on; what is left out stays as it is. Mail about the account itself cannot be
/// refused.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ContactWishes")]
struct Wants {
    /// Courses of the reader's own.
    #[serde(default)]
    courses: Option<bool>,
    /// Now and then, what is new.
    #[serde(default)]
    digest: Option<bool>,
}

impl Wants {
    fn decided(&self) -> impl Iterator<Item = (Category, bool)> {
        let both = [
            (Category::Courses, self.courses),
            (Category::Digest, self.digest),
        ];
        both.into_iter()
            .filter_map(|(category, wanted)| Some((category, wanted?)))
    }
}

/// Where the caller gets mail, as far as it is known.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Contact")]
struct ContactView {
    /// The address, in the form of the wire; null when there is none.
    address: Option<String>,
    /// How the reader is called.
    name: Option<String>,
    /// The language to write in.
    language: Option<String>,
    /// What the reader wants to be written to about.
    wants: Option<Wanted>,
}

/// What a reader wants to be written to about.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ContactWants")]
struct Wanted {
    /// Courses of the reader's own.
    courses: bool,
    /// Now and then, what is new.
    digest: bool,
}
