//! What every handler may use.

use std::sync::Arc;

use jobs::bell::Bell;
use media::Pool;
use models::Db;
use platform::{health::Health, storage::Storage};

use crate::{loading::Models, mailer::Mailer};

/// The surroundings of a handler: a handle to share, cheap to clone.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// The database.
    pub db: Db,
    /// Tells watchers of changes, and runners of work.
    pub bell: Bell,
    /// The language model, loaded when it is first needed.
    pub model: Models,
    /// How mail leaves.
    pub mailer: Mailer,
    /// What decodes pictures.
    pub pictures: Arc<Pool>,
    /// Where files lie, if anywhere.
    pub storage: Option<Storage>,
    /// Where the parts of this process say how they are.
    pub health: Health,
}
