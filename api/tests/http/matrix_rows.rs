//! What every operation answers those who may: the rows of the access matrix.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::matrix::NOBODY;

/// What an operation is asked, and what those who may are answered.
pub(crate) struct Row {
    pub(crate) body: Option<Value>,
    /// What somebody with the permission is answered who owns what the path names.
    pub(crate) allowed: u16,
    /// Whether the path names a row that belongs to somebody.
    pub(crate) owned: bool,
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

/// The row of every operation, by its id.
pub(crate) fn rows() -> BTreeMap<&'static str, Row> {
    let (work, operators) = (rows_of_work(), rows_of_operators());
    let all = work.into_iter().chain(operators).chain(rows_of_files());
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

fn rows_of_files() -> Vec<(&'static str, Row)> {
    vec![
        ("create_file", row(201)),
        ("list_files", row(200)),
        ("get_file", owned(200)),
        ("delete_file", owned(204)),
        ("get_file_content", owned(200)),
        ("get_file_variant", owned(404)),
        (
            "create_file_link",
            Row {
                body: Some(json!({})),
                ..owned(200)
            },
        ),
        // A text, of which there is no thumbnail.
        (
            "create_thumbnails",
            Row {
                body: Some(json!({"presets": ["card"]})),
                ..owned(422)
            },
        ),
        ("get_signed_file", row(404)),
        ("describe_uploads", row(204)),
        ("create_upload", row(201)),
        ("get_upload", owned(200)),
        ("append_upload", owned(204)),
        ("delete_upload", owned(204)),
        // The files of this test lie in a folder, and folders sign nothing.
        (
            "create_presigned_upload",
            with(409, json!({"name": "a.txt", "size_bytes": 5})),
        ),
        ("complete_upload", owned(409)),
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
    let nobody = NOBODY;
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
        ("get_second_factor", row(200)),
        ("begin_second_factor", with(401, json!({"password": "x"}))),
        ("confirm_second_factor", with(401, json!({"code": "x"}))),
        (
            "delete_second_factor",
            with(401, json!({"password": "x", "code": "x"})),
        ),
        (
            "renew_recovery_codes",
            with(401, json!({"password": "x", "code": "x"})),
        ),
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
