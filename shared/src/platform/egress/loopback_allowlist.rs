//! `AGENT_LOOPBACK_ALLOWLIST`: loopback addresses at which the local stack's agents are reachable.

use std::net::SocketAddr;

use url::{Host, Url};

use crate::platform::config::{Environment, Reported};

const VARIABLE: &str = "AGENT_LOOPBACK_ALLOWLIST";

/// Loopback addresses with ports that requests may connect to, also without
/// TLS. Empty in deployed functions.
#[derive(Clone, Debug, Default)]
pub struct LoopbackAllowlist(Vec<SocketAddr>);

impl LoopbackAllowlist {
    /// Reads `AGENT_LOOPBACK_ALLOWLIST`: `127.0.0.1:PORT` or `[::1]:PORT`, separated by commas. It
    /// is an error to set it for a deployed function.
    ///
    /// `AWS_REGION` shows whether the process runs in Lambda. Lambda sets and reserves this
    /// variable, and does not have a region called `local`, which is the value in the local stack.
    /// The check is needed because Lambda's Runtime API also has a loopback address.
    pub fn from_environment(environment: &mut Environment) -> Result<Self, Reported> {
        let region = environment.optional("AWS_REGION", crate::platform::config::any_string)?;
        let deployed = region.is_some_and(|region| region != "local");
        let allowed = environment.optional(VARIABLE, Self::parse)?;
        if deployed && allowed.is_some() {
            return Err(environment
                .add_error(VARIABLE, "is for the local stack only, and AWS_REGION says that this is none"));
        }
        Ok(allowed.unwrap_or_default())
    }

    /// Parses the value of the variable.
    pub fn parse(value: &str) -> Result<Self, String> {
        let address = |entry: &str| {
            let address = entry.trim().parse::<SocketAddr>().ok()?;
            (address.ip().is_loopback() && address.port() != 0).then_some(address)
        };
        let allowed = value.split(',').map(address).collect::<Option<Vec<_>>>();
        allowed
            .map(Self)
            .ok_or_else(|| "must list loopback addresses with ports, like 127.0.0.1:4000".to_owned())
    }

    /// Returns whether the list has the host and port of this URL.
    pub(super) fn allows(&self, url: &Url) -> bool {
        let Some(port) = url.port_or_known_default() else { return false };
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            Some(Host::Domain(_)) | None => return false,
        };
        self.0.contains(&SocketAddr::new(ip, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_must_be_a_loopback_address_with_a_port() {
        assert!(LoopbackAllowlist::parse("127.0.0.1:4000, [::1]:4001").is_ok());
        for wrong in [
            "127.0.0.1",
            "localhost:4000",
            "10.0.0.1:4000",
            "*",
            "127.0.0.1:0",
            "http://127.0.0.1:1",
            "0.0.0.0:80",
        ] {
            assert!(LoopbackAllowlist::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn entry_allows_one_port_of_one_address() {
        let allowed = LoopbackAllowlist::parse("127.0.0.1:4000").unwrap();
        let has = |url: &str| allowed.allows(&url.parse().unwrap());
        assert!(has("http://127.0.0.1:4000/mcp") && has("http://0x7f.1:4000/"));
        assert!(
            !has("http://127.0.0.1:4001/") && !has("http://127.0.0.1/") && !has("http://127.0.0.2:4000/")
        );
        assert!(!has("http://localhost:4000/") && !has("http://[::ffff:127.0.0.1]:4000/"));
    }

    #[test]
    fn allowlist_in_a_deployed_function_is_an_error() {
        let read = |region: Option<&'static str>, hosts: Option<&'static str>| {
            let mut environment = Environment::new(move |name| match name {
                "AWS_REGION" => region.map(str::to_owned),
                VARIABLE => hosts.map(str::to_owned),
                _ => None,
            });
            let allowed = LoopbackAllowlist::from_environment(&mut environment);
            environment.finish(allowed).map(|allowed| allowed.0.len()).map_err(|errors| errors.to_string())
        };
        assert_eq!(read(Some("local"), Some("127.0.0.1:4000")), Ok(1));
        assert_eq!(read(None, Some("127.0.0.1:4000")), Ok(1));
        assert_eq!(read(Some("eu-central-1"), None), Ok(0));
        let error = read(Some("eu-central-1"), Some("127.0.0.1:4000")).unwrap_err();
        assert!(error.contains("AGENT_LOOPBACK_ALLOWLIST is for the local stack only"), "{error}");
    }
}
