//! Agents that the caller may open a session with.

use serde::{Deserialize, Serialize};

use crate::{
    clients::supabase::{Rpc, UserClient},
    domain::{
        RequestContext,
        pagination::{IdCursor, Page, PageRequest, Rows},
    },
    error::Error,
};

/// An agent of the caller's organisation.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Agent {
    pub id: String,
    pub display_name: String,
    pub description: String,
}

#[derive(Serialize)]
struct ListAgentsCall {
    #[serde(flatten)]
    page: PageRequest<IdCursor>,
}

impl Rpc for ListAgentsCall {
    const NAME: &'static str = "list_agents";
    type Output = Rows<Agent>;
}

/// Lists the agents that the caller may open a session with, ordered by id.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    page: PageRequest<IdCursor>,
) -> Result<Page<Agent>, Error> {
    let rows = user_client.rpc(&ListAgentsCall { page }, &context.caller.token, context.deadline).await?;
    Ok(rows.into_page(|last| IdCursor { id: last.id.clone() }))
}
