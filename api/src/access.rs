//! Access tokens: JWTs (RFC 9068) signed with Ed25519, and nothing else.
//!
//! Written here rather than taken from a library, because all that a library adds is choice, and every
//! known attack on JWTs is a choice left to the attacker. There is one algorithm, one form of header,
//! and keys come from the configuration alone; what has more members, or the same one twice, is refused
//! before its signature is looked at.

use std::{fmt, str::FromStr, sync::Arc};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use models::{OwnerId, SessionId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{app::App, body::Object, proven::Proven, routes::accounts::signing_keys::PublicKey};

/// How long an access token is good: short, since refreshing it is cheap.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// No token is good for longer, whoever signed it.
pub const LIFETIME_MAX: TimeDelta = TimeDelta::days(30);
/// How far the clocks of signers may be apart.
const LEEWAY: TimeDelta = TimeDelta::seconds(5);
/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 2_048;
/// Bytes of the seed that a key is made of (RFC 8032).
const SEED_BYTES: usize = 32;
/// Keys that are believed at the same time at most.
const KEYS_MAX: usize = 8;
const ALGORITHM: &str = "EdDSA";
const TYPE: &str = "at+jwt";
const ISSUER: &str = "lyo";
const AUDIENCE: &str = "lyo-api";

/// The keys by which tokens are known to be ours: the first signs, all are believed.
#[derive(Clone)]
pub struct SigningKeys {
    keys: Arc<[Key]>,
    proven: Proven,
}

struct Key {
    /// The thumbprint of the public key (RFC 7638).
    id: String,
    pair: Ed25519KeyPair,
    public: ParsedPublicKey,
}

/// By which tokens callers are known.
#[derive(Clone, Debug, Default, Args)]
pub struct IdentityArgs {
    /// The keys that access tokens are signed with, joined by commas: the first signs, all are believed,
    /// so that keys can be exchanged. Each is 32 random bytes in base64 (`openssl rand -base64 32`), and
    /// the same for every API [default: none; the API then listens on this machine alone, and takes who
    /// comes without a token for its author]
    #[arg(
        long,
        help_heading = "Server",
        value_name = "KEYS",
        env = "LYO_SIGNING_KEYS",
        hide_env_values = true
    )]
    pub signing_keys: Option<SigningKeys>,

    /// Ask for a token on this machine too.
    #[arg(long, help_heading = "Server", env = "LYO_SIGN_IN")]
    pub sign_in: bool,
}

impl IdentityArgs {
    /// Whether who comes without a token is taken for the author of this machine. With keys, everybody
    /// has to sign in.
    pub fn is_open(&self) -> bool {
        self.signing_keys.is_none() && !self.sign_in
    }

    /// Has the API know callers so.
    pub fn apply(&self, app: &mut App) {
        if let Some(keys) = &self.signing_keys {
            app.keys = keys.clone();
        }
        app.open = self.is_open();
    }
}

/// The keys cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be from 1 to 8 keys, joined by commas, each 32 random bytes in base64: openssl rand -base64 32"
)]
pub struct SigningKeysError;

/// Why a token is refused. Clients learn no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not a token of ours for this API.
    Invalid,
    /// It was one, until its time was over.
    Expired,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'h> {
    alg: &'h str,
    typ: &'h str,
    kid: &'h str,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    /// Whose it is.
    pub(crate) sub: OwnerId,
    /// The session it belongs to.
    pub(crate) sid: SessionId,
    /// Its own id.
    pub(crate) jti: Uuid,
    iat: i64,
    nbf: i64,
    pub(crate) exp: i64,
    /// The epoch of the account when it was signed.
    pub(crate) epoch: i64,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({})", self.keys.len())
    }
}

impl FromIterator<Key> for SigningKeys {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            proven: Proven::default(),
        }
    }
}

impl FromStr for SigningKeys {
    type Err = SigningKeysError;

    fn from_str(text: &str) -> Result<Self, SigningKeysError> {
        let keys: Option<Vec<Key>> = text
            .split(',')
            .map(|seed| Key::new(&STANDARD.decode(seed.trim()).ok()?))
            .collect();
        let keys = keys.filter(|keys| keys.len() <= KEYS_MAX);
        Ok(keys.ok_or(SigningKeysError)?.into_iter().collect())
    }
}

impl SigningKeys {
    /// A key that nobody else has, so tokens end with the process.
    pub fn ephemeral() -> Self {
        let pair = Ed25519KeyPair::generate().ok();
        pair.and_then(Key::of).into_iter().collect()
    }

    /// One key, drawn at random, in the form that is configured.
    pub fn draw() -> String {
        let mut seed = [0; SEED_BYTES];
        // It fails only where the system has no randomness at all; then no key can be read from it.
        match aws_lc_rs::rand::fill(&mut seed) {
            Ok(()) => STANDARD.encode(seed),
            Err(_) => String::new(),
        }
    }

    /// Signs a token for a session.
    pub fn sign(
        &self,
        user: OwnerId,
        session: SessionId,
        epoch: i64,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> String {
        let Some(key) = self.keys.first() else {
            return String::new();
        };
        let iat = now.timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user,
            sid: session,
            jti: Uuid::now_v7(),
            iat,
            nbf: iat,
            exp: iat + lifetime.min(LIFETIME_MAX).num_seconds(),
            epoch,
        };
        let header = Header {
            alg: ALGORITHM,
            typ: TYPE,
            kid: &key.id,
        };
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = key.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// What a token says, if it is one of ours and its time is now.
    pub(crate) fn read(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Invalid);
        }
        let claims = self.proven.claims(token, |token| self.parse(token));
        let claims = claims.ok_or(Refused::Invalid)?;
        let (now, leeway) = (now.timestamp(), LEEWAY.num_seconds());
        let ours = claims.iss == ISSUER && claims.aud == AUDIENCE;
        let lasts = claims.exp.saturating_sub(claims.iat) <= LIFETIME_MAX.num_seconds();
        let begun = claims.iat <= now + leeway && claims.nbf <= now + leeway;
        if !(ours && lasts && begun) {
            return Err(Refused::Invalid);
        }
        if claims.exp <= now {
            return Err(Refused::Expired);
        }
        Ok(claims)
    }

    fn parse(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let bytes = URL_SAFE_NO_PAD.decode(header).ok()?;
        let Object(header) = serde_json::from_slice::<Object<Header<'_>>>(&bytes).ok()?;
        if header.alg != ALGORITHM || header.typ != TYPE {
            return None;
        }
        let key = self.keys.iter().find(|key| key.id == header.kid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        key.public.verify_sig(signed.as_bytes(), &signature).ok()?;
        decode(claims)
    }

    /// The public halves.
    pub(crate) fn published(&self) -> Vec<PublicKey> {
        let public = |key: &Key| PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            alg: ALGORITHM,
            purpose: "sig",
            kid: key.id.clone(),
            x: URL_SAFE_NO_PAD.encode(key.pair.public_key()),
        };
        self.keys.iter().map(public).collect()
    }
}

impl Key {
    fn new(seed: &[u8]) -> Option<Self> {
        if seed.len() != SEED_BYTES {
            return None;
        }
        Self::of(Ed25519KeyPair::from_seed_unchecked(seed).ok()?)
    }

    fn of(pair: Ed25519KeyPair) -> Option<Self> {
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let print = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
        Some(Self {
            id: URL_SAFE_NO_PAD.encode(print),
            public: ParsedPublicKey::new(&ED25519, pair.public_key().as_ref()).ok()?,
            pair,
        })
    }
}

fn encode(part: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    let Object(part) = serde_json::from_slice(&bytes).ok()?;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap_or_default()
    }

    #[test]
    fn a_token_is_good_until_its_time_is_over() {
        let (keys, now) = (SigningKeys::ephemeral(), at("2026-11-21T12:00:00Z"));
        let (user, session) = (OwnerId::new(), SessionId::new());

        let token = keys.sign(user, session, 7, now, LIFETIME);
        let claims = keys.read(&token, now);

        assert!(
            claims.is_ok_and(|claims| claims.sub == user
                && claims.sid == session
                && claims.epoch == 7)
        );
        assert_eq!(keys.read(&token, now + LIFETIME), Err(Refused::Expired));
        assert_eq!(
            keys.read(&token, now - TimeDelta::minutes(1)),
            Err(Refused::Invalid)
        );
        assert_eq!(
            SigningKeys::ephemeral().read(&token, now),
            Err(Refused::Invalid)
        );
    }

    #[test]
    fn keys_overlap_while_they_are_exchanged() {
        let (old, new) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        let keys = |text: &str| text.parse::<SigningKeys>().ok();
        let now = at("2026-11-21T12:00:00Z");
        let token =
            keys(&old).map(|keys| keys.sign(OwnerId::LOCAL, SessionId::new(), 1, now, LIFETIME));
        let token = token.unwrap_or_default();
        let believed = |text: &str| keys(text).is_some_and(|keys| keys.read(&token, now).is_ok());

        assert!(believed(&old));
        assert!(believed(&format!("{new}, {old}")));
        assert!(!believed(&new));
        assert!("".parse::<SigningKeys>().is_err());
        assert!("c2hvcnQ=".parse::<SigningKeys>().is_err());
    }
}
