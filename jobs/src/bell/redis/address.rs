//! Where Redis is.

use redis::{Client, RedisError};

/// Why the address of Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The address is of a kind of Redis that is not supported.
    #[error(
        "Redis {0} is not supported: REDIS_URL names one server, as redis://, rediss:// or unix://; \
         behind Sentinel or a cluster, give the address of a proxy or of a replicated single server"
    )]
    Unsupported(&'static str),
    /// It cannot be read.
    #[error("REDIS_URL cannot be read: {0}")]
    Invalid(#[from] RedisError),
}

/// A client of the server at this address.
pub(super) fn client(url: &str) -> Result<Client, AddressError> {
    let scheme = url.split("://").next().unwrap_or_default();
    if scheme.contains("sentinel") {
        return Err(AddressError::Unsupported("Sentinel"));
    }
    // Several hosts are how the drivers of other languages write a cluster.
    if scheme.contains("cluster") || (scheme != "unix" && url.contains(',')) {
        return Err(AddressError::Unsupported("Cluster"));
    }
    if scheme == "rediss" {
        // An error says that another one was chosen before, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    Ok(Client::open(url)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_server_is_supported_and_the_error_says_so() {
        for good in [
            "redis://:secret@localhost:6379/2",
            "rediss://cache.example.com",
            "unix:///run/redis.sock?db=1",
        ] {
            assert!(client(good).is_ok(), "{good}");
        }
        for (bad, expected) in [
            (
                "redis+sentinel://a:26379/mymaster",
                "Redis Sentinel is not supported",
            ),
            ("redis://a:6379,b:6379", "Redis Cluster is not supported"),
            ("http://localhost", "REDIS_URL cannot be read"),
        ] {
            let error = client(bad).map(|_| ()).map_err(|error| error.to_string());
            assert!(
                error
                    .as_ref()
                    .is_err_and(|error| error.starts_with(expected)),
                "{error:?}"
            );
        }
    }
}
