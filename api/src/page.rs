//! Pages of lists, as clients ask for them and see them.

use models::{Cursor, Limit, Page};
use schemars::JsonSchema;
use serde::Serialize;

use crate::problem::Problem;

/// One page of a list, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub(crate) struct PageView<T> {
    /// The rows of the page.
    pub(crate) items: Vec<T>,
    /// The `cursor` of the next page; null on the last.
    pub(crate) next: Option<String>,
}

impl<T> PageView<T> {
    /// The view of a page of rows.
    pub(crate) fn of<R>(page: Page<R>, view: impl FnMut(R) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(view).collect(),
            next: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// Where a page begins, and how long it is at most.
pub(crate) fn bounds(
    cursor: Option<&str>,
    limit: Option<u32>,
) -> Result<(Option<Cursor>, Limit), Problem> {
    let invalid = |name: &str, error: models::Error| match error {
        models::Error::Invalid { reason, .. } => Problem::parameter(name, reason),
        error => error.into(),
    };
    let cursor = cursor
        .map(str::parse)
        .transpose()
        .map_err(|error| invalid("cursor", error))?;
    let limit = limit.map_or_else(|| Ok(Limit::default()), Limit::new);
    Ok((cursor, limit.map_err(|error| invalid("limit", error))?))
}
