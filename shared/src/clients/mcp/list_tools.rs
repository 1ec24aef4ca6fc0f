//! Lists the tools of an MCP server, to check it before any tool is called.

use std::{collections::BTreeMap, sync::Arc};

use rmcp::model::{ListToolsResult, PaginatedRequestParams};
use serde_json::{Map, Value};

use super::{CLOSE_TIMEOUT, CallError, Client, Reason, Server, Target, call_state::CallState};
use crate::platform::http_client::Deadline;

/// Maximum number of pages of the list. A server has few tools; one that sends pages
/// without end is stopped here.
const MAX_PAGES: usize = 10;

/// The tools of a server: the JSON schema of the arguments by the tool's name.
pub type OfferedTools = BTreeMap<String, Arc<Map<String, Value>>>;

impl Client {
    /// Returns the server's tools. None is called.
    pub async fn list_tools(
        &self,
        target: &Target<'_>,
        deadline: Deadline,
    ) -> Result<OfferedTools, CallError> {
        let deadline = deadline.capped(target.timeout);
        self.with_credential(target, async |mut connector| {
            loop {
                let mut server = connector.connect(deadline).await?;
                let state = connector.state();
                let listed = tokio::time::timeout(deadline.remaining(), list_all_pages(&server, state)).await;
                let listed = listed.unwrap_or_else(|_| Err(state.error(Reason::TimedOut)));
                let _ = server.close_with_timeout(CLOSE_TIMEOUT).await;
                if listed.is_ok() || !connector.can_reconnect() {
                    return listed;
                }
            }
        })
        .await
    }
}

async fn list_all_pages(server: &Server, state: &CallState) -> Result<OfferedTools, CallError> {
    let mut offered = OfferedTools::new();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let page = PaginatedRequestParams::default().with_cursor(cursor);
        let ListToolsResult { tools, next_cursor, .. } =
            server.list_tools(Some(page)).await.map_err(|_| state.error(Reason::NotMcp))?;
        offered.extend(tools.into_iter().map(|tool| (tool.name.into_owned(), tool.input_schema)));
        match next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(offered),
        }
    }
    Ok(offered)
}
