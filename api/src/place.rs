//! Where a request comes from.

use std::net::IpAddr;

use models::sessions::Origin;
use poem::{Addr, FromRequest, Request, RequestBody};

use crate::{app::App, request::text};

/// What one customer of a network provider has of IPv6 at least.
const IPV6_PREFIX: u32 = 64;

/// Where a request comes from, as far as can be told.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The address of the network, without a port.
    pub(crate) address: String,
    /// What the program calls itself.
    pub(crate) agent: String,
}

impl Place {
    /// By what it is counted how often somebody asks: an address, or all that one customer has of IPv6.
    pub(crate) fn key(&self) -> String {
        match self.address.parse() {
            Ok(IpAddr::V6(address)) => {
                let network = address.to_bits() >> (128 - IPV6_PREFIX);
                format!("{network:x}/{IPV6_PREFIX}")
            }
            _ => self.address.clone(),
        }
    }

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
        let address = match (&request.remote_addr().0, request.data::<App>()) {
            (Addr::SocketAddr(peer), Some(app)) => {
                let client = app.network.client(peer.ip(), request.headers());
                client.to_string()
            }
            _ => "unknown".to_owned(),
        };
        let agent = text(request.headers(), "user-agent").unwrap_or_default();
        Ok(Self {
            address,
            agent: agent.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_customer_are_one_place() {
        let key = |address: &str| {
            let (address, agent) = (address.to_owned(), String::new());
            Place { address, agent }.key()
        };

        assert_eq!(key("192.0.2.7"), "192.0.2.7");
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("unknown"), "unknown");
    }
}
