//! The public halves of the keys that sign access tokens.

use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{app::App, caller::Public, json::Json, routes::Tag};

/// The operations on signing keys.
pub(crate) struct SigningKeys;

#[OpenApi(tag = "Tag::Accounts")]
impl SigningKeys {
    /// Publishes the keys by which access tokens can be checked elsewhere (RFC 7517).
    #[oai(
        path = "/.well-known/jwks.json",
        method = "get",
        operation_id = "get_signing_keys"
    )]
    #[expect(
        clippy::unused_async,
        reason = "handlers are async by the macro's rule"
    )]
    async fn get_signing_keys(&self, app: Data<&App>, _public: Public) -> Published {
        Published::Ok(Json::new(KeySet {
            keys: app.keys.published(),
        }))
    }
}

#[derive(ApiResponse)]
enum Published {
    /// The keys; the first is the one that signs.
    #[oai(status = 200)]
    Ok(Json<KeySet>),
}

/// A JSON Web Key Set.
#[derive(Debug, Serialize, JsonSchema)]
struct KeySet {
    /// The keys.
    keys: Vec<PublicKey>,
}

/// A public key (RFC 8037).
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PublicKey {
    /// Always `OKP`.
    pub(crate) kty: &'static str,
    /// Always `Ed25519`.
    pub(crate) crv: &'static str,
    /// Always `EdDSA`.
    pub(crate) alg: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub(crate) purpose: &'static str,
    /// The thumbprint of the key (RFC 7638), which tokens name.
    pub(crate) kid: String,
    /// The key itself, in base64url.
    pub(crate) x: String,
}
