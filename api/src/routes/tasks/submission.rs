//! What a client submits: a kind of work that is open to clients, and its payload.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, Utc};
use jobs::{
    Definition, Priority, kinds,
    store::{New, Options},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::view::TaskPriority;
use crate::{body, caller::Caller, problem::Problem, request::RequestContext};

/// The last year that every part of the system can write and order.
const YEAR_MAX: i32 = 9999;

/// A task to submit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BatchItem")]
pub(crate) struct Submission {
    /// The kind of work; it must be open to clients.
    pub(crate) kind: String,
    /// What the kind of work takes.
    #[serde(deserialize_with = "object")]
    #[schemars(with = "Map<String, Value>")]
    pub(crate) payload: Value,
    /// What is worked on first.
    #[serde(default)]
    #[schemars(with = "TaskPriority")]
    pub(crate) priority: Priority,
    /// Not before this time.
    #[serde(default)]
    pub(crate) run_at: Option<DateTime<Utc>>,
    /// If it has not begun by then, it ends as `expired`.
    #[serde(default)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl Submission {
    /// What is wrong with it, or the kind of work that it asks for.
    pub(crate) fn check(&self, now: DateTime<Utc>) -> Result<&'static Definition, Problem> {
        let open = |definition: &&Definition| definition.open;
        let definition = kinds::find(&self.kind).filter(open).ok_or_else(|| {
            let reason = format!(
                "must be one of {}",
                open_kinds().collect::<Vec<_>>().join(", ")
            );
            Problem::field("/kind", "unknown", reason)
        })?;
        for (pointer, time) in [("/run_at", self.run_at), ("/expires_at", self.expires_at)] {
            if time.is_some_and(|time| !(0..=YEAR_MAX).contains(&time.year())) {
                return Err(Problem::field(
                    pointer,
                    "invalid",
                    "must have a year of four digits",
                ));
            }
        }
        let starts = self.run_at.unwrap_or(now).max(now);
        if self
            .expires_at
            .is_some_and(|expires_at| expires_at <= starts)
        {
            let reason = "must be after the task may start";
            return Err(Problem::field("/expires_at", "invalid", reason));
        }
        (definition.check)(&self.payload).map_err(body::refine)?;
        Ok(definition)
    }

    /// The task that it asks for, checked.
    pub(crate) fn into_new(
        self,
        caller: Caller,
        context: &RequestContext,
        now: DateTime<Utc>,
    ) -> Result<New, Problem> {
        let definition = self.check(now)?;
        let (payload, options) = self.into_parts(caller, context);
        Ok(New {
            definition,
            payload,
            options,
        })
    }

    /// The payload, and everything else as the store takes it.
    fn into_parts(self, caller: Caller, context: &RequestContext) -> (Value, Options) {
        let options = Options {
            priority: self.priority,
            run_at: self.run_at,
            expires_at: self.expires_at,
            request_id: Some(context.request_id.clone()),
            trace_id: context.trace_id.clone(),
            ..Options::by(caller.owner)
        };
        (self.payload, options)
    }
}

pub(crate) fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Map::deserialize(deserializer).map(Value::Object)
}

/// The kinds of work that are open to clients.
pub(crate) fn kind_schema(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "description": "The kind of work; it must be open to clients.",
        "enum": open_kinds().collect::<Vec<_>>(),
    })
}

fn open_kinds() -> impl Iterator<Item = &'static str> {
    kinds::ALL
        .iter()
        .filter(|definition| definition.open)
        .map(|definition| definition.kind)
}

/// A submission as the specification describes it: with the kinds that are open, and the payloads
/// that these take.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct OpenSubmission(pub Submission);

impl JsonSchema for OpenSubmission {
    fn schema_name() -> Cow<'static, str> {
        "Submission".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Submission::json_schema(generator);
        if let Some(properties) = schema.get_mut("properties") {
            properties["kind"] = kind_schema(generator).into();
            properties["payload"] = generator.subschema_for::<NoopPayload>().into();
        }
        schema.insert("example".to_owned(), example());
        schema
    }
}

fn example() -> Value {
    serde_json::json!({"kind": "noop", "payload": {"n": 1}})
}

/// The payload of `noop`, the diagnostic kind: it does nothing, as slowly as it is told to.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the payload of a job to clients")]
pub(crate) struct NoopPayload {
    /// Any number.
    n: i64,
    /// How long to sleep, in milliseconds.
    #[serde(default)]
    #[schemars(range(max = 10_000))]
    sleep_ms: u64,
    /// `true` fails for good, `false` fails and is tried again.
    #[serde(default)]
    fail: Option<bool>,
}
