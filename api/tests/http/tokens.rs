//! The token battery: everything that was ever tried on tokens, and none of it opens the door.

use api::SigningKeys;
use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use models::{
    OwnerId,
    roles::Role,
    sessions::{self, Origin},
    testing::{TestDb, TestResult},
    users,
};
use poem::{Body, Route, http::Method};
use serde_json::{Value, json};

use crate::{
    harness::Api,
    people::{PASSWORD, closed, user, with_password},
};

const SEED: [u8; 32] = [7; 32];

/// Who attacks: somebody who knows all of an account but its keys, and in some cases these too.
struct Attacker {
    api: Api,
    pair: Ed25519KeyPair,
    kid: String,
    user: OwnerId,
    session: String,
    epoch: i64,
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

impl Attacker {
    async fn new(test: &TestDb) -> TestResult<Self> {
        let mut app = closed(&test.db).app;
        app.keys = STANDARD.encode(SEED).parse::<SigningKeys>()?;
        let api = Api::with(app, Route::new());
        let user = user(&test.db, "ada", Role::Admin).await?;
        with_password(&test.db, user).await?;
        let (mut tx, now) = (test.db.begin().await?, test.db.now());
        let epoch = users::get(&mut tx, user).await?.epoch;
        let session = sessions::create(&mut tx, user, &Origin::default(), now).await?;
        tx.commit().await?;
        let keys = api.get("/.well-known/jwks.json").await?;
        Ok(Self {
            kid: keys.word("/keys/0/kid"),
            api,
            pair: Ed25519KeyPair::from_seed_unchecked(&SEED)?,
            user,
            session: session.id.to_string(),
            epoch,
        })
    }

    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid})
    }

    fn claims(&self) -> Value {
        let now = self.api.app.db.now().timestamp();
        json!({"iss": "lyo", "aud": "lyo-api", "sub": self.user, "sid": self.session,
            "jti": "01990000-0000-7000-8000-000000000000", "iat": now, "nbf": now, "exp": now + 600,
            "epoch": self.epoch})
    }

    /// A token of these parts, with a signature that is right.
    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{header}.{claims}");
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn with_header(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = self.header();
        change(&mut header);
        self.sign(&encode(&header), &encode(&self.claims()))
    }

    fn with_claims(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        self.sign(&encode(&self.header()), &encode(&claims))
    }

    /// A token signed with HMAC under some key, which the attacker knows.
    fn hmac(&self, algorithm: &str, key: &[u8]) -> String {
        let mut header = self.header();
        header["alg"] = algorithm.into();
        let signed = format!("{}.{}", encode(&header), encode(&self.claims()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    fn good(&self) -> String {
        self.with_claims(|_| {})
    }
}

/// Attacks on the algorithm.
fn on_algorithms(attacker: &Attacker) -> Vec<(&'static str, String)> {
    let unsigned = |algorithm: &str| {
        let mut header = attacker.header();
        header["alg"] = algorithm.into();
        format!("{}.{}.", encode(&header), encode(&attacker.claims()))
    };
    let public = attacker.pair.public_key().as_ref().to_vec();
    let x = URL_SAFE_NO_PAD.encode(&public);
    let header =
        |member: &'static str, value: Value| attacker.with_header(|header| header[member] = value);
    vec![
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg NONE", unsigned("NONE")),
        ("alg nOnE", unsigned("nOnE")),
        ("alg empty", unsigned("")),
        ("alg EdDSA and no signature", unsigned("EdDSA")),
        ("alg null", header("alg", Value::Null)),
        ("alg eddsa in lower case", header("alg", json!("eddsa"))),
        (
            "alg RS256 over an Ed25519 signature",
            header("alg", json!("RS256")),
        ),
        (
            "alg ES256 over an Ed25519 signature",
            header("alg", json!("ES256")),
        ),
        ("HS256 with the public key", attacker.hmac("HS256", &public)),
        (
            "HS256 with the published text of the key",
            attacker.hmac("HS256", x.as_bytes()),
        ),
        ("HS256 with an empty key", attacker.hmac("HS256", b"")),
        (
            "HMAC that calls itself EdDSA",
            attacker.hmac("EdDSA", &public),
        ),
    ]
}

/// Attacks on the rest of the header: the type, and where the key is to be found.
fn on_headers(attacker: &Attacker) -> Vec<(&'static str, String)> {
    let x = URL_SAFE_NO_PAD.encode(attacker.pair.public_key());
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let header =
        |member: &'static str, value: Value| attacker.with_header(|header| header[member] = value);
    vec![
        ("typ JWT", header("typ", json!("JWT"))),
        (
            "typ absent",
            attacker.with_header(|header| {
                header.as_object_mut().map(|header| header.remove("typ"));
            }),
        ),
        ("typ of a refresh token", header("typ", json!("rt+jwt"))),
        (
            "kid absent",
            attacker.with_header(|header| {
                header.as_object_mut().map(|header| header.remove("kid"));
            }),
        ),
        ("kid empty", header("kid", json!(""))),
        (
            "kid traversal",
            header("kid", json!("../../../../dev/null")),
        ),
        (
            "kid injection",
            header("kid", json!("x' union select 'key' --")),
        ),
        (
            "kid of a command",
            header("kid", json!("key; cat /etc/passwd")),
        ),
        (
            "kid with a zero byte",
            header("kid", json!(format!("{}\u{0}", attacker.kid))),
        ),
        ("kid as an array", header("kid", json!([attacker.kid]))),
        ("jwk of the attacker", header("jwk", key)),
        (
            "jku of the attacker",
            header("jku", json!("https://evil.example/jwks.json")),
        ),
        (
            "x5u of the attacker",
            header("x5u", json!("https://evil.example/x.pem")),
        ),
        ("x5c of the attacker", header("x5c", json!(["MIIB"]))),
        (
            "crit that nobody understands",
            header("crit", json!(["exp"])),
        ),
        ("b64 false", header("b64", json!(false))),
        ("zip", header("zip", json!("DEF"))),
        ("cty of a nested token", header("cty", json!("JWT"))),
    ]
}

/// Attacks on the claims, all of them signed with the right key.
fn on_claims(attacker: &Attacker) -> Vec<(&'static str, String)> {
    let now = attacker.api.app.db.now().timestamp();
    let claim =
        |member: &'static str, value: Value| attacker.with_claims(|claims| claims[member] = value);
    let without = |member: &str| {
        attacker.with_claims(|claims| {
            claims
                .as_object_mut()
                .map(|claims| claims.shift_remove(member));
        })
    };
    let twice = attacker
        .claims()
        .to_string()
        .replacen('{', r#"{"epoch":0,"#, 1);
    let stranger = OwnerId::new().to_string();
    vec![
        ("expired", claim("exp", json!(now - 1))),
        ("expires now", claim("exp", json!(now))),
        ("exp absent", without("exp")),
        ("exp as text", claim("exp", json!("9999999999"))),
        ("exp as a fraction", claim("exp", json!(9_999_999_999.5))),
        ("exp null", claim("exp", Value::Null)),
        (
            "good for a hundred years",
            claim("exp", json!(now + 3_155_760_000_i64)),
        ),
        ("exp beyond all numbers", claim("exp", json!(i64::MAX))),
        ("not yet valid", claim("nbf", json!(now + 60))),
        ("issued in the future", claim("iat", json!(now + 60))),
        ("wrong audience", claim("aud", json!("another-api"))),
        (
            "a list of audiences",
            claim("aud", json!(["lyo-api", "another-api"])),
        ),
        ("aud absent", without("aud")),
        ("wrong issuer", claim("iss", json!("https://evil.example"))),
        ("iss absent", without("iss")),
        ("somebody else's session", claim("sub", json!(stranger))),
        ("no such session", claim("sid", json!(stranger))),
        ("sid absent", without("sid")),
        (
            "an earlier epoch",
            claim("epoch", json!(attacker.epoch - 1)),
        ),
        ("a later epoch", claim("epoch", json!(attacker.epoch + 1))),
        ("a role of one's own", claim("role", json!("admin"))),
        (
            "duplicate claims",
            attacker.sign(&encode(&attacker.header()), &URL_SAFE_NO_PAD.encode(twice)),
        ),
        (
            "claims as an array",
            attacker.sign(&encode(&attacker.header()), &encode(&json!(["lyo"]))),
        ),
    ]
}

/// Attacks on the form, and with tokens that are something else.
async fn on_forms(attacker: &Attacker) -> TestResult<Vec<(&'static str, String)>> {
    let good = attacker.good();
    let (signed, signature) = good.rsplit_once('.').ok_or("three parts")?;
    let (header, claims) = signed.split_once('.').ok_or("three parts")?;
    let mut bytes = URL_SAFE_NO_PAD.decode(signature)?;
    bytes[0] ^= 1;
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature)?);
    let twice = attacker
        .header()
        .to_string()
        .replacen('{', r#"{"alg":"none","#, 1);
    let login = attacker.api.login("ada@example.com").await?;
    assert_eq!(login.status, 200, "{PASSWORD}: {}", login.text);
    let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32])?;
    let foreign = URL_SAFE_NO_PAD.encode(other.sign(signed.as_bytes()).as_ref());
    Ok(vec![
        ("empty", String::new()),
        ("nonsense", "nonsense".to_owned()),
        ("dots", "..".to_owned()),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        (
            "a changed signature",
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes)),
        ),
        ("a padded signature", format!("{signed}.{padded}")),
        ("a longer signature", format!("{good}AAAA")),
        (
            "signature of zeros",
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        ),
        (
            "claims of another token",
            format!("{header}.{}.{signature}", encode(&json!({"exp": 1}))),
        ),
        ("a rotated key", format!("{signed}.{foreign}")),
        (
            "duplicate alg",
            attacker.sign(&URL_SAFE_NO_PAD.encode(twice), claims),
        ),
        (
            "a token of 1 MB",
            format!("{signed}.{}", "A".repeat(1_000_000)),
        ),
        (
            "a claim of 1 MB",
            attacker.with_claims(|claims| claims["jti"] = "0".repeat(1_000_000).into()),
        ),
        ("a refresh token", login.word("/refresh_token")),
        ("a JWE", format!("{header}.AAAA.AAAA.AAAA.AAAA")),
        ("white space in it", good.replacen('.', ". ", 1)),
        ("the token twice", format!("{good} {good}")),
        ("the token, quoted", format!("\"{good}\"")),
    ])
}

#[tokio::test]
async fn no_attack_on_tokens_is_accepted() -> TestResult {
    let test = TestDb::sqlite().await?;
    let attacker = Attacker::new(&test).await?;
    let ask = async |value: &str| {
        let answer = attacker
            .api
            .by(value, Method::GET, "/v1/users/me", None)
            .await?;
        TestResult::Ok((answer.problem(), answer.header("content-type").to_owned()))
    };
    let good = ask(&format!("Bearer {}", attacker.good())).await?;
    assert_eq!(
        good.0.0, 200,
        "the battery knows how to make a token: {good:?}"
    );
    let mut attacks = on_algorithms(&attacker);
    attacks.extend(on_headers(&attacker));
    attacks.extend(on_claims(&attacker));
    attacks.extend(on_forms(&attacker).await?);

    for (name, token) in &attacks {
        let ((status, code), media_type) = ask(&format!("Bearer {token}")).await?;

        assert_eq!(status, 401, "{name}");
        assert!(
            ["token_invalid", "token_expired"].contains(&code.as_str()),
            "{name}: {code}"
        );
        assert_eq!(media_type, "application/problem+json", "{name}");
    }
    for header in ["Bearer", "bearer", "Token x", "Basic YTpi", "", "\u{e9}"] {
        assert_eq!(ask(header).await?.0.0, 401, "{header}");
    }
    println!("attacks: {}", attacks.len() + 6);
    assert!(attacks.len() >= 60);
    test.close().await
}

#[tokio::test]
async fn tokens_of_an_ended_session_and_two_tokens_at_once_are_refused() -> TestResult {
    let test = TestDb::sqlite().await?;
    let attacker = Attacker::new(&test).await?;
    let api = &attacker.api;
    let header = format!("Bearer {}", attacker.good());

    let two = [
        ("authorization", header.as_str()),
        ("authorization", header.as_str()),
    ];
    let twice = api
        .send(Method::GET, "/v1/users/me", &two, Body::empty())
        .await?;
    let before = api.by(&header, Method::GET, "/v1/users/me", None).await?;
    let out = api.by(&header, Method::POST, "/v1/logout", None).await?;
    let after = api.by(&header, Method::GET, "/v1/users/me", None).await?;

    assert_eq!(twice.problem(), (401, "token_invalid".to_owned()));
    assert_eq!((before.status.as_u16(), out.status.as_u16()), (200, 204));
    assert_eq!(after.problem(), (401, "token_invalid".to_owned()));
    assert_eq!(after.header("www-authenticate"), "Bearer");
    let in_query = format!("/v1/users/me?access_token={}", attacker.good());
    assert_eq!(
        api.get(&in_query).await?.problem(),
        (401, "token_required".to_owned())
    );
    test.close().await
}
