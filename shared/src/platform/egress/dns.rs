//! Looking up names. The addresses that are handed on are the ones that are connected to: there is no second lookup in which
//! a name could change its mind.

use std::{io, net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{ip_ranges::is_global, url_policy::UrlRejection};

/// The system's resolver, as a rule of its own: reqwest's cannot be wrapped.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the URL's: reqwest puts it where 0 stands.
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A resolver that answers nothing for a name of which any address is not public: such a name is a trick or a mistake, and
/// which of its addresses a connection takes is chance.
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
