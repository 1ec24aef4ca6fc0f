//! The context of one API request: the caller and the deadline.

use serde::Serialize;
use uuid::Uuid;

use crate::{
    auth::{Caller, TokenClaims},
    clients::supabase::Rpc,
    platform::http_client::Deadline,
};

/// Context of an authenticated request, passed to every operation that works for it.
#[derive(Clone, Debug)]
pub struct RequestContext {
    pub caller: Caller,
    /// The time after which a response is no longer useful. Leaves time to send it.
    pub deadline: Deadline,
}

/// Arguments of an RPC function that writes for a caller. Includes the caller's claims, by which
/// the project's policies decide what the caller may read, and so what may be written for them.
#[derive(Clone, Debug, Serialize)]
pub struct OnBehalf<T> {
    p_org_id: Uuid,
    p_user_id: Uuid,
    p_claims: TokenClaims,
    #[serde(flatten)]
    arguments: T,
}

impl<T: Rpc> Rpc for OnBehalf<T> {
    const NAME: &'static str = T::NAME;
    const IS_SLOW: bool = T::IS_SLOW;
    type Output = T::Output;
}

impl RequestContext {
    /// Adds the caller's identity and claims to the arguments of an RPC function.
    pub fn on_behalf<T: Rpc>(&self, arguments: T) -> OnBehalf<T> {
        let Caller { org_id, user_id, claims, .. } = &self.caller;
        OnBehalf { p_org_id: *org_id, p_user_id: *user_id, p_claims: claims.clone(), arguments }
    }
}
