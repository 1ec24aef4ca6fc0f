//! The organisation's agents, as far as a caller may see them.

use serde::{Deserialize, Serialize};

use crate::{call::Call, error::Error, supabase::Reader};

/// An agent that the caller may open a session with.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Agent {
    /// What sessions name it by.
    pub id: String,
    /// What people call it.
    pub display_name: String,
    /// What it is for.
    pub description: String,
}

/// The agents that this caller may open, by id. An organisation has few: there are no pages.
///
/// # Errors
/// Those of Supabase.
pub async fn list(reader: &Reader, call: &Call) -> Result<Vec<Agent>, Error> {
    let query = reader.from("agents").select("id,display_name,description").order("id.asc");
    Ok(reader.rows(query, &call.caller.token, call.deadline).await?)
}
