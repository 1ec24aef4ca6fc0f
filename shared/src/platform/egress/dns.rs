//! DNS resolution for outbound requests. The client connects to the addresses that were checked,
//! without a second lookup that could return others (DNS rebinding).

use std::{io, net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{ip_ranges::is_global, url_policy::UrlRejection};

/// The system's resolver. It is implemented here because reqwest's own resolver cannot be wrapped.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // reqwest replaces port 0 with the port of the URL.
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A resolver that fails if any address of a name is not public. Such a name is an attack or a
/// mistake, and which of its addresses a connection uses is left to chance.
pub(super) struct PublicOnlyResolver<R>(pub Arc<R>);

impl<R: Resolve + 'static> Resolve for PublicOnlyResolver<R> {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = resolver.resolve(name).await?.collect();
            if addresses.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            if !addresses.iter().all(|address| is_global(address.ip())) {
                return Err(UrlRejection::Name.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
