//! One call of the API: who makes it, and until when they wait.

use serde::Serialize;
use uuid::Uuid;

use crate::{
    auth::{Caller, TokenClaims},
    platform::http_client::Deadline,
};

/// A verified call. Whatever is done for it is given this, and nothing is looked up elsewhere.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Who is calling.
    pub caller: Caller,
    /// Until when an answer is of use, with time left to send it.
    pub deadline: Deadline,
}

/// The arguments of every RPC function that writes for a caller: who they are, and the claims by which the project's policies
/// say what they may read, and so what may be written for them.
#[derive(Clone, Debug, Serialize)]
pub struct OnBehalf<T> {
    p_org_id: Uuid,
    p_user_id: Uuid,
    p_claims: TokenClaims,
    #[serde(flatten)]
    arguments: T,
}

impl RequestContext {
    /// These arguments, on behalf of the caller.
    pub fn on_behalf<T: Serialize>(&self, arguments: T) -> OnBehalf<T> {
        let Caller { org_id, user_id, claims, .. } = &self.caller;
        OnBehalf { p_org_id: *org_id, p_user_id: *user_id, p_claims: claims.clone(), arguments }
    }
}
