//! Keys for machines: a part of what their account may do.

use chrono::{DateTime, Utc};
use models::{
    api_keys::{self, ApiKey},
    audit::Action,
    id::ApiKeyId,
    users,
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    body::Body,
    caller::{May, Permission},
    json::Json,
    letters::{self, Event},
    place::Place,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// The operations on keys.
pub(crate) struct ApiKeys;

#[OpenApi(tag = "Tag::Accounts")]
impl ApiKeys {
    /// Makes a key for a machine. The answer is the only time that it is shown.
    ///
    /// It may do what its scopes say, as far as its account may, and nothing that takes a person.
    #[oai(path = "/v1/keys", method = "post", operation_id = "create_key")]
    async fn create_key(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteKeys as u8 }>,
        place: Place,
        context: RequestContext,
        body: Body<NewKey>,
    ) -> Result<Made, Problem> {
        caller.session()?;
        let new = body.value;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let owner = caller.owner;
        let made = api_keys::create(&mut tx, owner, &new.name, &new.scopes, new.expires_at, now);
        let (key, secret) = made.await?;
        let subject = format!("keys/{}", key.id);
        let deed = caller.deed(Action::KeyCreated, subject, &place, &context);
        let user = users::get(&mut tx, owner).await?;
        models::audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        letters::tell(&app, &user, Event::KeyCreated, &place, &context).await;
        Ok(Made::Created(Json::new(Secret {
            key: secret,
            about: KeyView::from(key),
        })))
    }

    /// Lists the caller's keys, newest first.
    #[oai(path = "/v1/keys", method = "get", operation_id = "list_keys")]
    async fn list_keys(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadKeys as u8 }>,
    ) -> Result<Listed, Problem> {
        let keys = api_keys::list(&mut app.conn().await?, caller.owner).await?;
        let items = keys.into_iter().map(KeyView::from).collect();
        Ok(Listed::Ok(Json::new(KeyList { items })))
    }

    /// Revokes a key: it is void at once.
    #[oai(path = "/v1/keys/:id", method = "delete", operation_id = "revoke_key")]
    async fn revoke_key(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteKeys as u8 }>,
        place: Place,
        context: RequestContext,
        /// The id of the key.
        id: Path<Uuid>,
    ) -> Result<Revoked, Problem> {
        let (id, mut tx, now) = (ApiKeyId::from(id.0), app.begin().await?, app.db.now());
        api_keys::revoke(&mut tx, caller.owner, id, now).await?;
        let deed = caller.deed(Action::KeyRevoked, format!("keys/{id}"), &place, &context);
        models::audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        app.standings.clear();
        Ok(Revoked::Done)
    }
}

/// A key to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// What its owner calls it.
    #[schemars(
        length(min = 1, max = 100),
        regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9 _.-]*[A-Za-z0-9])?$")
    )]
    name: String,
    /// What it may do.
    #[schemars(schema_with = "scopes")]
    scopes: Vec<Permission>,
    /// When it ends by itself; never unless told.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

/// The permissions that a machine may have.
fn scopes(_generator: &mut SchemaGenerator) -> Schema {
    let all = Permission::ALL.iter().filter(|one| one.is_for_machines());
    let words: Vec<&str> = all.map(|one| one.as_str()).collect();
    let schema = json!({
        "type": "array",
        "minItems": 1,
        "uniqueItems": true,
        "items": {"type": "string", "enum": words},
    });
    schema.try_into().unwrap_or_default()
}

#[derive(ApiResponse)]
enum Made {
    /// The key, for the only time.
    #[oai(status = 201)]
    Created(Json<Secret>),
}

#[derive(ApiResponse)]
enum Listed {
    /// The keys.
    #[oai(status = 200)]
    Ok(Json<KeyList>),
}

#[derive(ApiResponse)]
enum Revoked {
    /// It is void.
    #[oai(status = 204)]
    Done,
}

/// A key that was just made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewApiKey")]
struct Secret {
    /// To be sent as `Authorization: Bearer KEY`, and to be kept: nobody can show it again.
    key: String,
    /// What is known of it.
    about: KeyView,
}

/// Keys.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ApiKeyList")]
struct KeyList {
    /// The keys.
    items: Vec<KeyView>,
}

/// A key for a machine.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
struct KeyView {
    /// Its id.
    id: String,
    /// What its owner calls it.
    name: String,
    /// What it begins with.
    prefix: String,
    /// What it may do, as far as its account may.
    scopes: Vec<&'static str>,
    /// Since when there is it.
    created_at: DateTime<Utc>,
    /// When it ends by itself.
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    used_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes.into_iter().map(Permission::as_str).collect(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            used_at: key.used_at,
        }
    }
}
