//! The access matrix: every operation of the specification, asked by everybody who might.
//!
//! An operation without a row in `rows` fails the test, so a new one states what it answers.

use std::collections::{BTreeMap, BTreeSet};

use api::spec;
use models::{
    Db, OwnerId, api_keys,
    roles::{Permission, Permissions, Role},
    sql,
    testing::{TestDb, TestResult},
    users,
};
use poem::http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Api},
    people::{closed, token, user},
};

/// What an operation is asked, and what those who may are answered.
struct Row {
    body: Option<Value>,
    /// What somebody with the permission is answered who owns what the path names.
    allowed: u16,
    /// Whether the path names a row that belongs to somebody.
    owned: bool,
}

fn row(allowed: u16) -> Row {
    Row {
        body: None,
        allowed,
        owned: false,
    }
}

fn owned(allowed: u16) -> Row {
    Row {
        owned: true,
        ..row(allowed)
    }
}

fn with(allowed: u16, body: Value) -> Row {
    Row {
        body: Some(body),
        ..row(allowed)
    }
}

fn rows() -> BTreeMap<&'static str, Row> {
    let (work, operators) = (rows_of_work(), rows_of_operators());
    let all = work.into_iter().chain(operators);
    all.chain(rows_of_accounts()).collect()
}

fn rows_of_work() -> Vec<(&'static str, Row)> {
    let noop = json!({"kind": "noop", "payload": {"n": 1}});
    let schedule = json!({"name": "Daily", "cron": "@daily", "kind": "noop", "payload": {"n": 1}});
    vec![
        ("submit_task", with(202, noop.clone())),
        ("submit_tasks", with(200, json!({"items": [noop]}))),
        ("list_tasks", row(200)),
        ("get_task", owned(200)),
        ("delete_task", owned(204)),
        ("list_attempts", owned(200)),
        ("cancel_task", owned(200)),
        ("retry_task", owned(202)),
        ("stream_events", owned(200)),
        ("create_course", with(202, json!({"topic": "Tide pools"}))),
        ("list_courses", row(200)),
        ("get_course", owned(200)),
        ("delete_course", owned(204)),
        // It is there and not finished: whoever does not own it does not learn as much.
        ("export_course", owned(409)),
        ("get_lesson", owned(404)),
        ("create_schedule", with(201, schedule.clone())),
        ("list_schedules", row(200)),
        ("get_schedule", owned(200)),
        (
            "update_schedule",
            Row {
                body: Some(schedule),
                ..owned(200)
            },
        ),
        ("delete_schedule", owned(204)),
    ]
}

fn rows_of_operators() -> Vec<(&'static str, Row)> {
    let letter = json!({"template": "welcome", "variables": {"name": "Ada"}, "to": "a@b.example"});
    let select = json!({"kind": "noop", "dry_run": true});
    vec![
        ("list_queues", row(200)),
        ("update_queue", with(200, json!({"mode": "open"}))),
        ("list_all_tasks", row(200)),
        ("cancel_tasks", with(200, select.clone())),
        ("retry_tasks", with(200, select)),
        ("list_workers", row(200)),
        ("read_metrics", row(200)),
        ("send_email", with(202, letter)),
        ("list_emails", row(200)),
        ("get_email", owned(200)),
        ("list_email_templates", row(200)),
        ("preview_email_template", row(200)),
        ("get_contact", row(200)),
        ("update_contact", with(200, json!({"address": null}))),
        ("list_users", row(200)),
        ("list_audit_entries", row(200)),
        // These are about the account of a learner; nobody's rows are hidden from who may.
        ("get_user", row(200)),
        ("suspend_user", row(200)),
        ("restore_user", row(200)),
        ("grant_role", with(200, json!({"role": "learner"}))),
        ("impersonate_user", row(201)),
        ("show_unsubscribe", row(404)),
        ("unsubscribe", row(404)),
        ("receive_sendgrid_events", with(403, json!([]))),
        ("check_liveness", row(200)),
        ("check_readiness", row(200)),
        ("explain_problem", row(200)),
    ]
}

fn rows_of_accounts() -> Vec<(&'static str, Row)> {
    let nobody = "01990000-0000-7000-8000-000000000000";
    let newcomer = json!({"address": "new@example.com", "name": "New",
        "password": "plankton wedding copper 47"});
    let wrong = json!({"address": "{unique}@example.com", "password": "nonsense"});
    vec![
        ("register", with(202, newcomer)),
        ("verify", with(404, json!({"token": nobody}))),
        ("login", with(401, wrong)),
        ("refresh", with(401, json!({"refresh_token": nobody}))),
        ("logout", row(204)),
        ("list_sessions", row(200)),
        ("end_session", owned(204)),
        ("end_sessions", row(204)),
        // These ask for the password again, and nobody here has one.
        (
            "change_password",
            with(401, json!({"old": "x", "new": "gravel tiger umbrella 92"})),
        ),
        (
            "change_address",
            with(401, json!({"address": "b@example.com", "password": "x"})),
        ),
        ("delete_me", with(401, json!({"password": "x"}))),
        (
            "forgot_password",
            with(202, json!({"address": "{unique}@example.com"})),
        ),
        (
            "reset_password",
            with(
                404,
                json!({"token": nobody, "password": "gravel tiger umbrella 92"}),
            ),
        ),
        ("get_me", row(200)),
        (
            "update_me",
            with(
                200,
                json!({"name": "Ada", "preferences": {"public": false}}),
            ),
        ),
        (
            "create_key",
            with(201, json!({"name": "ci", "scopes": ["tasks.read"]})),
        ),
        ("list_keys", row(200)),
        ("revoke_key", owned(204)),
        ("get_signing_keys", row(200)),
    ]
}

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
    } else if path.starts_with("/v1/sessions/{id}") {
        let mine = api.by(&by, Method::GET, "/v1/sessions", None).await?;
        mine.word("/items/0/id")
    } else if path.starts_with("/v1/keys/{id}") {
        let body = json!({"name": "ci", "scopes": ["tasks.read"]});
        make("/v1/keys", body).await?.word("/about/id")
    } else if path.starts_with("/v1/admin/users/{id}") {
        user(
            &api.app.db,
            &uuid::Uuid::now_v7().simple().to_string(),
            Role::Learner,
        )
        .await?
        .to_string()
    } else {
        String::new()
    };
    Ok(path
        .replace("{id}", &id)
        .replace("{n}", "1")
        .replace("{queue}", "default")
        .replace("{template}", "welcome")
        .replace("{code}", "not-found"))
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
    let mut headers = vec![
        ("idempotency-key", key.as_str()),
        ("content-type", "application/json"),
    ];
    headers.extend(by.map(|token| ("authorization", token)));
    let query = match operation.id.as_str() {
        "show_unsubscribe" | "unsubscribe" => "?token=nonsense",
        _ => "",
    };
    // Nobody's address twice: how often one is asked about is bounded.
    let body = row.body.as_ref().map(Value::to_string).unwrap_or_default();
    let body = body.replace("{unique}", &key);
    let path = format!("{path}{query}");
    let answer = api
        .send(operation.method.clone(), &path, &headers, body.into())
        .await?;
    Ok(answer.status.as_u16())
}

/// A key of an admin with any scope but this.
async fn key(api: &Api, owner: OwnerId, permission: Permission) -> TestResult<String> {
    let mut scopes = Permission::ALL.iter().copied();
    let other = scopes.find(|scope| scope.is_for_machines() && *scope != permission);
    let scope = [other.ok_or("there are others")?];
    let (mut tx, now) = (api.app.db.begin().await?, api.app.db.now());
    let (key, secret) = api_keys::create(&mut tx, owner, "matrix", &scope, None, now).await?;
    // Whoever has too many gets no more.
    sql!(
        tx,
        execute,
        "delete from api_keys where user_id = $1 and id <> $2",
        owner,
        key.id
    )?;
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
            cells.push((
                "a key without the scope",
                Some(key(api, self.owner, permission).await?),
                403,
            ));
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
    let (api, people) = (closed(&test.db), People::new(&test.db).await?);
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
        for (who, token, expected) in people.cells(&api, operation, row).await? {
            let path = place(&api, people.owner, operation).await?;
            let status = ask(&api, operation, row, token.as_deref(), &path).await?;
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
