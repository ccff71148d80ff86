//! What the network around the API is like: proxies before it, names it is called by, pages that may use
//! it, and how much one caller may ask of it.

use std::{net::IpAddr, sync::Arc};

use clap::Args;
use ipnet::IpNet;
use poem::http::HeaderMap;

use crate::{
    limits::{BURST_SECONDS, READS_PER_SECOND, WRITES_PER_SECOND},
    throttle::Policy,
};

/// The header in which proxies say for whom they ask.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// What the network around the API is like.
#[derive(Clone, Debug, Args)]
pub struct NetworkArgs {
    /// The networks of proxies that are believed when they say in `X-Forwarded-For` who asks, such as
    /// 10.0.0.0/8, joined by commas [default: none; who connects is who asks]
    #[arg(
        long,
        help_heading = "Server",
        value_name = "NETWORKS",
        env = "LYO_TRUSTED_PROXIES",
        value_delimiter = ','
    )]
    trusted_proxies: Vec<IpNet>,

    /// The names that the API is called by, such as api.example.com, joined by commas; `/healthz` and
    /// `/readyz` answer under any [default: any name]
    #[arg(
        long,
        help_heading = "Server",
        value_name = "HOSTS",
        env = "LYO_HOSTS",
        value_delimiter = ','
    )]
    hosts: Vec<String>,

    /// The origins whose pages may use the API from a browser, such as `https://app.example.com`,
    /// joined by commas [default: none]
    #[arg(
        long,
        help_heading = "Server",
        value_name = "ORIGINS",
        env = "LYO_ORIGINS",
        value_delimiter = ',',
        value_parser = origin
    )]
    origins: Vec<String>,

    /// How often a second one caller may read, on average over half a minute.
    #[arg(
        long,
        help_heading = "Server",
        value_name = "NUMBER",
        env = "LYO_READS_PER_SECOND",
        default_value_t = READS_PER_SECOND,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    reads_per_second: u32,

    /// How often a second one caller may change something, on average over half a minute.
    #[arg(
        long,
        help_heading = "Server",
        value_name = "NUMBER",
        env = "LYO_WRITES_PER_SECOND",
        default_value_t = WRITES_PER_SECOND,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    writes_per_second: u32,
}

/// What the network around the API is like; clones share it.
#[derive(Clone, Debug)]
pub struct Network(Arc<NetworkArgs>);

impl Default for Network {
    /// Whoever connects asks, under any name, from no page.
    fn default() -> Self {
        Self::new(NetworkArgs {
            trusted_proxies: Vec::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
            reads_per_second: READS_PER_SECOND,
            writes_per_second: WRITES_PER_SECOND,
        })
    }
}

impl Network {
    /// A network as it is configured.
    pub fn new(args: NetworkArgs) -> Self {
        Self(Arc::new(args))
    }

    /// The origins whose pages may use the API.
    pub(crate) fn origins(&self) -> &[String] {
        &self.0.origins
    }

    /// Whether the API is called by this name, which may have a port.
    pub(crate) fn is_host(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let known = &self.0.hosts;
        known.is_empty() || known.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// How often a caller may ask for something that changes nothing, or something.
    pub(crate) fn policy(&self, reads: bool) -> Policy {
        let (name, rate) = if reads {
            ("reads", self.0.reads_per_second)
        } else {
            ("writes", self.0.writes_per_second)
        };
        Policy::per_second(name, rate, BURST_SECONDS)
    }

    /// Who asks. A proxy is believed only if it is one of ours, and only what it has added itself: the
    /// last address that is not of our proxies. What stands before it, anybody may have written.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let sent = headers.get_all(FORWARDED_FOR).iter();
        let hops: Vec<&str> = sent
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .collect();
        for hop in hops.into_iter().rev() {
            let Ok(address) = hop.trim().parse::<IpAddr>() else {
                break;
            };
            if !self.trusts(client) {
                break;
            }
            client = address.to_canonical();
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let proxies = &self.0.trusted_proxies;
        proxies.iter().any(|network| network.contains(&address))
    }
}

/// An origin as browsers write it: a scheme, a host, perhaps a port, and nothing after that.
fn origin(text: &str) -> Result<String, String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let written = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
    match host {
        Some(host) if !host.is_empty() && host.bytes().all(written) => Ok(text.to_owned()),
        _ => Err("must be like https://app.example.com, without a path".into()),
    }
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};

    use super::*;

    fn network(args: &[&str]) -> Network {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            network: NetworkArgs,
        }
        let args = ["lyo"].iter().chain(args);
        let program = <Program as clap::Parser>::try_parse_from(args);
        program.map_or_else(
            |_| Network::default(),
            |program| Network::new(program.network),
        )
    }

    fn client(network: &Network, peer: [u8; 4], forwarded: &[&'static str]) -> String {
        let values = forwarded
            .iter()
            .map(|value| HeaderValue::from_static(value));
        let headers = values.map(|value| (HeaderName::from_static(FORWARDED_FOR), value));
        network.client(peer.into(), &headers.collect()).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let (proxy, other) = ([10, 0, 0, 1], [192, 0, 2, 7]);
        let trusting = network(&["--trusted-proxies", "10.0.0.0/8,fd00::/8"]);
        let nobody = Network::default();

        assert_eq!(client(&nobody, proxy, &["203.0.113.5"]), "10.0.0.1");
        assert_eq!(
            client(&trusting, other, &["203.0.113.5"]),
            "192.0.2.7",
            "no proxy of ours"
        );
        assert_eq!(client(&trusting, proxy, &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(
            client(&trusting, proxy, &["1.2.3.4, 203.0.113.5, 10.9.9.9"]),
            "203.0.113.5"
        );
        assert_eq!(
            client(&trusting, proxy, &["1.2.3.4", "203.0.113.5"]),
            "203.0.113.5",
            "two headers"
        );
        assert_eq!(
            client(&trusting, proxy, &["203.0.113.5, nonsense"]),
            "10.0.0.1"
        );
        assert_eq!(client(&trusting, proxy, &[]), "10.0.0.1");
        assert_eq!(client(&trusting, proxy, &["2001:db8::1"]), "2001:db8::1");
    }

    #[test]
    fn a_host_is_known_whatever_its_case_and_port() {
        let network = network(&["--hosts", "api.example.com,localhost"]);

        assert!(network.is_host("API.example.com"));
        assert!(network.is_host("api.example.com:8443"));
        assert!(!network.is_host("example.com"));
        assert!(!network.is_host("api.example.com.evil.example"));
        assert!(Network::default().is_host("anything"));
    }

    #[test]
    fn an_origin_has_no_path() {
        assert!(origin("https://app.example.com").is_ok());
        assert!(origin("http://localhost:3000").is_ok());
        for bad in [
            "*",
            "app.example.com",
            "https://app.example.com/",
            "https://",
            "https://A.example",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
