//! Agents that the caller may open a session with.

use serde::{Deserialize, Serialize};

use crate::{
    clients::supabase::UserClient,
    domain::{
        RequestContext,
        pagination::{IdCursor, Page, PageSize, Rows},
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

/// Lists the agents that the caller may open a session with, ordered by id.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    limit: PageSize,
    after: Option<IdCursor>,
) -> Result<Page<Agent>, Error> {
    #[derive(Serialize)]
    struct Arguments {
        p_limit: PageSize,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_after_id: Option<String>,
    }
    let arguments = Arguments { p_limit: limit, p_after_id: after.map(|IdCursor(id)| id) };
    let rows: Rows<Agent> =
        user_client.read("list_agents", &arguments, &context.caller.token, context.deadline).await?;
    Ok(rows.into_page(|agent| IdCursor(agent.id.clone()).encode()))
}
