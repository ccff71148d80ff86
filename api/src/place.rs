//! Where a request comes from.

use models::sessions::Origin;
use poem::{Addr, FromRequest, Request, RequestBody};

use crate::request::text;

/// Where a request comes from, as far as can be told.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The address of the network, without a port.
    pub(crate) address: String,
    /// What the program calls itself.
    pub(crate) agent: String,
}

impl Place {
    /// Where a session begins that somebody starts for themselves.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            place: self.address.clone(),
            agent: self.agent.clone(),
            impersonator: None,
        }
    }
}

impl<'a> FromRequest<'a> for Place {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let address = match &request.remote_addr().0 {
            Addr::SocketAddr(address) => address.ip().to_string(),
            _ => "unknown".to_owned(),
        };
        let agent = text(request.headers(), "user-agent").unwrap_or_default();
        Ok(Self {
            address,
            agent: agent.to_owned(),
        })
    }
}
