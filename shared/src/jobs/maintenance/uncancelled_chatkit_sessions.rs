//! ChatKit sessions that should be cancelled and are not yet: an outage, or a process that died in between.

use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{AT_ONCE, BATCH, Batch, LEASE_SECONDS, Report, Share};
use crate::{domain::sessions, error::Error};

/// Cancels them, as long as they may be alive. What ChatKit does not do comes again with a later round.
pub(super) async fn cancel_retired(share: Share<'_>, report: &mut Report) -> Result<Batch, Error> {
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
    let Share { writer, chatkit: Some(chatkit), deadline, .. } = share else { return Ok(Batch::default()) };
    let arguments = json!({ "p_limit": BATCH, "p_lease_seconds": LEASE_SECONDS });
    let Stale { sessions } = writer.call("claim_uncancelled_chatkit_sessions", &arguments, deadline).await?;
    let batch = Batch::of(sessions.len());
    let cancel = async |Retired { org_id, session_id, chatkit_session_ids: ids }: Retired| {
        if share.is_over() {
            return (0, ids.len());
        }
        let of = sessions::Of { org_id, session_id, deadline };
        let cancelled = sessions::cancel_upstream(chatkit, writer, of, &ids).await;
        (cancelled, ids.len() - cancelled)
    };
    let mut outcomes = std::pin::pin!(stream::iter(sessions).map(cancel).buffer_unordered(AT_ONCE));
    while let Some((cancelled, uncancelled)) = outcomes.next().await {
        report.cancelled_chatkit += cancelled as u64;
        report.uncancelled_chatkit += uncancelled as u64;
    }
    Ok(batch)
}
