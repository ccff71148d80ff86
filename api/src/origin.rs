//! Keeps web pages of other sites away while the API trusts everybody on this machine.
//!
//! A page may point a name of its own at 127.0.0.1 (DNS rebinding): `Host` then has that name. Or it
//! may post across sites: `Origin` then has that site.

use poem::{
    Request,
    http::{Uri, uri::Authority},
};

use crate::{codes, network::Network, problem::Problem, request::text};

/// The names of this machine for itself.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Paths that answer under any name: who looks after processes knows their addresses only.
const ANY_HOST: [&str; 2] = ["/healthz", "/readyz"];

/// Refuses a request for a name that the API does not have.
pub(crate) fn check_host(request: &Request, network: &Network) -> Result<(), Problem> {
    if network.is_host(host(request).unwrap_or_default())
        || ANY_HOST.contains(&request.uri().path())
    {
        return Ok(());
    }
    let detail = "`Host` is none of the names that this API is called by.";
    Err(Problem::new(&codes::HOST_NOT_ALLOWED, detail))
}

/// HTTP/2 has the host in the target.
fn host(request: &Request) -> Option<&str> {
    let host = request.uri().authority().map(Authority::as_str);
    host.or_else(|| text(request.headers(), "host"))
}

/// Refuses a request that is for another host, or from a page of another site.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    if let Some(host) = host(request)
        && !is_local(host)
    {
        let detail = format!("`Host` must be one of {}, not {host}.", HOSTS.join(", "));
        return Err(Problem::new(&codes::HOST_NOT_ALLOWED, detail));
    }
    if let Some(origin) = request.headers().get("origin") {
        let origin = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.parse::<Uri>().ok());
        let authority = origin.as_ref().and_then(Uri::authority);
        if !authority.is_some_and(|authority| is_local(authority.as_str())) {
            return Err(Problem::new(
                &codes::ORIGIN_NOT_ALLOWED,
                codes::ORIGIN_NOT_ALLOWED.meaning,
            ));
        }
    }
    Ok(())
}

/// Whether a host, with or without a port, is this machine.
fn is_local(host: &str) -> bool {
    HOSTS.iter().any(|name| {
        let matching = host
            .get(..name.len())
            .filter(|start| start.eq_ignore_ascii_case(name));
        let port = matching.and_then(|_| host.get(name.len()..));
        port.is_some_and(|port| {
            port.is_empty()
                || port
                    .strip_prefix(':')
                    .is_some_and(|port| port.parse::<u16>().is_ok())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.nip.io",
            "localhost:x",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
