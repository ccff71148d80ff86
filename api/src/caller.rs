//! Who is calling. Until accounts exist, everybody is the owner of this machine; identity will
//! replace this file and nothing else.

use models::id::OwnerId;
use poem::{FromRequest, Request, RequestBody};

/// The authenticated caller of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Whose rows the request sees and makes.
    pub(crate) owner: OwnerId,
}

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(_request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self {
            owner: OwnerId::LOCAL,
        })
    }
}
