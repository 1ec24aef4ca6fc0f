//! ChatKit sessions that should be cancelled and are not yet: an outage, or a process that died in between.

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{BATCH, LEASE_SECONDS, Report};
use crate::{chatkit::ChatKit, error::Error, sessions, supabase::Writer, upstream::Deadline};

/// Cancels them, as long as they may be alive.
///
/// # Errors
/// Those of Supabase. What ChatKit does not do comes again with a later round.
pub async fn cancel_retired(
    writer: &Writer,
    chatkit: &ChatKit,
    deadline: Deadline,
    report: &mut Report,
) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Stale {
        sessions: Vec<Retired>,
    }
    #[derive(Deserialize)]
    struct Retired {
        org_id: Uuid,
        session_id: Uuid,
        chatkit_session_ids: Vec<String>,
    }
    while deadline.leaves_room() {
        let arguments = json!({ "p_limit": BATCH, "p_lease_seconds": LEASE_SECONDS });
        let Stale { sessions } = writer.call("claim_stale_chatkit", &arguments, deadline).await?;
        if sessions.is_empty() {
            break;
        }
        for Retired { org_id, session_id, chatkit_session_ids: ids } in sessions {
            if !deadline.leaves_room() {
                return Ok(());
            }
            let of = sessions::Of { org_id, session_id, deadline };
            let cancelled = sessions::cancel_upstream(chatkit, writer, of, &ids).await;
            report.cancelled_chatkit += cancelled as u64;
            report.uncancelled_chatkit += (ids.len() - cancelled) as u64;
        }
    }
    Ok(())
}
