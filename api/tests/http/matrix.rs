//! The access matrix: every operation of the specification, asked by everybody who might.
//!
//! An operation without a row in `matrix_rows` fails the test, so a new one states what it answers.

use std::collections::BTreeSet;

use api::spec;
use models::{
    Db, OwnerId, api_keys,
    roles::{Permission, Permissions, Role},
    testing::{TestDb, TestResult},
    users,
};
use poem::{Body, http::Method};
use serde_json::{Value, json};

use crate::{
    files::{FORM, Stored, bring, form},
    harness::{Answer, Api},
    matrix_rows::{Row, rows},
    people::{closed, token, user},
    provoke::JSON,
    uploads::{PIECE, TUS},
};

/// An id that nothing has.
pub(crate) const NOBODY: &str = "01990000-0000-7000-8000-000000000000";

/// An operation as the specification has it.
struct Operation {
    id: String,
    method: Method,
    path: String,
    permission: Option<Permission>,
}

fn operations() -> TestResult<Vec<Operation>> {
    let document: Value = serde_json::from_str(&spec())?;
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let id = operation["operationId"].as_str().unwrap_or_default();
            let declared = operation["x-permission"].as_str();
            let declared = declared.ok_or_else(|| format!("{id} declares no permission"))?;
            let permission = match declared {
                "public" => None,
                word => Some(word.parse()?),
            };
            assert_eq!(
                operation["security"] == json!([]),
                permission.is_none(),
                "{id}"
            );
            found.push(Operation {
                id: id.to_owned(),
                method: method.to_uppercase().parse()?,
                path: path.clone(),
                permission,
            });
        }
    }
    Ok(found)
}

/// Rows of an owner, fresh for each cell, since some cells end them.
async fn place(api: &Api, owner: OwnerId, operation: &Operation) -> TestResult<String> {
    let by = token(api, owner).await?;
    let make = async |path: &str, body: Value| -> TestResult<Answer> {
        let made = api.by(&by, Method::POST, path, Some(&body)).await?;
        assert!(made.status.is_success(), "{path}: {}", made.text);
        Ok(made)
    };
    let path = operation.path.as_str();
    let id = if path.starts_with("/v1/tasks/{id}") {
        let task = make("/v1/tasks", json!({"kind": "noop", "payload": {"n": 1}}))
            .await?
            .word("/id");
        // One that has ended can be deleted and tried again, and its stream ends.
        if operation.id != "get_task" {
            make(&format!("/v1/tasks/{task}/cancel"), json!({})).await?;
        }
        task
    } else if path.starts_with("/v1/courses/{id}") {
        let made = make("/v1/courses", json!({"topic": "Tide pools"})).await?;
        made.word("/links/subject")
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    } else if path.starts_with("/v1/schedules/{id}") {
        let body = json!({"name": "Daily", "cron": "@daily", "kind": "noop", "payload": {"n": 1}});
        make("/v1/schedules", body).await?.word("/id")
    } else if path.starts_with("/v1/emails/{id}") {
        email(&api.app.db, owner).await?
    } else if path.starts_with("/v1/files/{id}") && operation.permission.is_some() {
        let headers = [("authorization", by.as_str())];
        bring(api, &form("notes.txt", "hello"), &headers)
            .await?
            .word("/id")
    } else if path.starts_with("/v1/uploads/{id}") {
        upload(api, &by).await?
    } else if path.starts_with("/v1/sessions/{id}") {
        let mine = api.by(&by, Method::GET, "/v1/sessions", None).await?;
        mine.word("/items/0/id")
    } else if path.starts_with("/v1/keys/{id}") {
        let body = json!({"name": "ci", "scopes": ["tasks.read"]});
        make("/v1/keys", body).await?.word("/about/id")
    } else if path.starts_with("/v1/admin/users/{id}") {
        let name = uuid::Uuid::now_v7().simple().to_string();
        user(&api.app.db, &name, Role::Learner).await?.to_string()
    } else {
        String::new()
    };
    Ok(path
        .replace("{id}", if id.is_empty() { NOBODY } else { &id })
        .replace("{name}", "card.webp")
        .replace("{n}", "1")
        .replace("{queue}", "default")
        .replace("{template}", "welcome")
        .replace("{code}", "not-found"))
}

/// An upload of which nothing has arrived.
async fn upload(api: &Api, by: &str) -> TestResult<String> {
    let headers = [TUS, ("upload-length", "5"), ("authorization", by)];
    let begun = api
        .send(Method::POST, "/v1/uploads", &headers, Body::empty())
        .await?;
    assert_eq!(begun.status, 201, "{}", begun.text);
    let id = begun.header("location").rsplit('/').next();
    Ok(id.unwrap_or_default().to_owned())
}

/// A mail of an owner, who may not send any by themselves.
async fn email(db: &Db, owner: OwnerId) -> TestResult<String> {
    use models::{
        Address,
        emails::{self, Letter},
        templates::Template,
    };
    let letter = Letter {
        template: Template::Welcome,
        variables: json!({"name": "Ada"})
            .as_object()
            .cloned()
            .unwrap_or_default(),
        to: Address::parse("ada@example.com")?,
        name: None,
        language: "en".to_owned(),
        attachments: Vec::new(),
    };
    let mut tx = db.begin().await?;
    let id = emails::create(&mut tx, owner, &letter, db.now()).await?;
    tx.commit().await?;
    Ok(id.to_string())
}

async fn ask(
    api: &Api,
    operation: &Operation,
    row: &Row,
    by: Option<&str>,
    path: &str,
) -> TestResult<u16> {
    let key = uuid::Uuid::now_v7().to_string();
    let mut headers = vec![("idempotency-key", key.as_str())];
    headers.extend(match operation.id.as_str() {
        "create_file" => vec![FORM],
        "create_upload" => vec![TUS, ("upload-length", "5")],
        "append_upload" => vec![TUS, PIECE, ("upload-offset", "0")],
        "update_schedule" => vec![JSON, ("if-match", "*")],
        _ => vec![JSON],
    });
    headers.extend(by.map(|token| ("authorization", token)));
    let query = match operation.id.as_str() {
        "show_unsubscribe" | "unsubscribe" => "?token=nonsense",
        "get_signed_file" => "?expires=1&signature=nonsense",
        _ => "",
    };
    // Nobody's address twice: how often one is asked about is bounded.
    let body = match operation.id.as_str() {
        "create_file" => form("notes.txt", "hello"),
        "append_upload" => "hello".to_owned(),
        _ => row.body.as_ref().map(Value::to_string).unwrap_or_default(),
    };
    let body = body.replace("{unique}", &key);
    let path = format!("{path}{query}");
    let answer = api
        .send(operation.method.clone(), &path, &headers, body.into())
        .await?;
    Ok(answer.status.as_u16())
}

/// A key of an account with this scope alone.
async fn key(api: &Api, owner: OwnerId, scope: Permission) -> TestResult<String> {
    let (mut tx, now) = (api.app.db.begin().await?, api.app.db.now());
    let (_, secret) = api_keys::create(&mut tx, owner, "matrix", &[scope], None, now).await?;
    tx.commit().await?;
    Ok(format!("Bearer {secret}"))
}

/// Those who ask.
struct People {
    owner: OwnerId,
    suspended: OwnerId,
    roles: Vec<(Role, OwnerId)>,
}

impl People {
    async fn new(db: &Db) -> TestResult<Self> {
        let suspended = user(db, "suspended", Role::Admin).await?;
        let mut tx = db.begin().await?;
        users::suspend(&mut tx, suspended, true, db.now()).await?;
        tx.commit().await?;
        let mut roles = Vec::new();
        for role in Role::ALL {
            roles.push((*role, user(db, role.as_str(), *role).await?));
        }
        Ok(Self {
            owner: user(db, "owner", Role::Admin).await?,
            suspended,
            roles,
        })
    }

    /// Who asks, with a fresh token each, and what they are answered.
    async fn cells(
        &self,
        api: &Api,
        operation: &Operation,
        row: &Row,
    ) -> TestResult<Vec<(&'static str, Option<String>, u16)>> {
        let permission = operation.permission;
        let refused = permission.map_or(row.allowed, |_| 401);
        let mut cells = vec![
            ("nobody", None, refused),
            ("a liar", Some("Bearer nonsense".to_owned()), refused),
            (
                "a suspended admin",
                Some(token(api, self.suspended).await?),
                refused,
            ),
            (
                "the owner",
                Some(token(api, self.owner).await?),
                row.allowed,
            ),
        ];
        if let Some(permission) = permission {
            // Whoever has too many gets no more.
            let mut tx = api.app.db.begin().await?;
            api_keys::revoke_all(&mut tx, self.owner, api.app.db.now()).await?;
            tx.commit().await?;
            let mut scopes = Permission::ALL.iter().copied();
            let other = scopes.find(|scope| scope.is_for_machines() && *scope != permission);
            let other = key(api, self.owner, other.ok_or("there are others")?).await?;
            cells.push(("a key without the scope", Some(other), 403));
            if permission.is_for_machines() {
                // There is no session that a key could end.
                let allowed = if operation.id == "logout" {
                    403
                } else {
                    row.allowed
                };
                let with = key(api, self.owner, permission).await?;
                cells.push(("a key with the scope", Some(with), allowed));
            }
        }
        for (role, person) in &self.roles {
            let may = permission.is_none_or(|one| Permissions::of(*role).has(one));
            let expected = match (may, row.owned) {
                (false, _) => 403,
                (true, true) => 404,
                (true, false) => row.allowed,
            };
            cells.push((role.as_str(), Some(token(api, *person).await?), expected));
        }
        Ok(cells)
    }
}

#[tokio::test]
async fn every_operation_answers_everybody_as_the_table_of_permissions_says() -> TestResult {
    let test = TestDb::sqlite().await?;
    let stored = Stored::over(closed(&test.db).app)?;
    let (api, people) = (&stored.api, People::new(&test.db).await?);
    let (operations, rows) = (operations()?, rows());
    let declared = operations.iter().map(|operation| operation.id.as_str());
    let declared: BTreeSet<&str> = declared.collect();
    let stated: BTreeSet<&str> = rows.keys().copied().collect();
    assert_eq!(
        declared, stated,
        "every operation has a row, and every row an operation"
    );
    let mut deviations = Vec::new();
    let mut cells = 0;

    for operation in &operations {
        let row = &rows[operation.id.as_str()];
        for (who, token, expected) in people.cells(api, operation, row).await? {
            let path = place(api, people.owner, operation).await?;
            let status = ask(api, operation, row, token.as_deref(), &path).await?;
            cells += 1;
            if status != expected {
                deviations.push(format!("{who} {}: {status}, not {expected}", operation.id));
            }
        }
    }

    println!("operations: {}, cells: {cells}", operations.len());
    assert!(deviations.is_empty(), "{deviations:#?}");
    test.close().await
}
