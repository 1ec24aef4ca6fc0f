//! What the database can do by itself.

use serde::Deserialize;
use serde_json::json;

use super::{BATCH, Report};
use crate::{error::Error, supabase::Writer, upstream::Deadline};

/// Marks requests to ChatKit whose process died as failed, and ends sessions that never got a secret.
///
/// # Errors
/// Those of Supabase.
pub async fn settle_abandoned(writer: &Writer, deadline: Deadline, report: &mut Report) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Settled {
        settled: u64,
        failed_sessions: u64,
    }
    while deadline.leaves_room() {
        let arguments = json!({ "p_limit": BATCH });
        let Settled { settled, failed_sessions } =
            writer.call("settle_abandoned", &arguments, deadline).await?;
        report.settled_requests += settled;
        report.failed_sessions += failed_sessions;
        if settled == 0 {
            break;
        }
    }
    Ok(())
}

/// Closes escalations whose time is over.
///
/// # Errors
/// Those of Supabase.
pub async fn expire_escalations(
    writer: &Writer,
    deadline: Deadline,
    report: &mut Report,
) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Expired {
        expired: u64,
    }
    while deadline.leaves_room() {
        let Expired { expired } =
            writer.call("expire_escalations", &json!({ "p_limit": BATCH }), deadline).await?;
        report.expired_escalations += expired;
        if expired == 0 {
            break;
        }
    }
    Ok(())
}

/// Erases secrets that have run out, and forgets idempotency keys after a day.
///
/// # Errors
/// Those of Supabase.
pub async fn sweep(writer: &Writer, deadline: Deadline, report: &mut Report) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Swept {
        secrets: u64,
        keys: u64,
        throttles: u64,
    }
    while deadline.leaves_room() {
        let Swept { secrets, keys, throttles } =
            writer.call("sweep", &json!({ "p_limit": 10 * BATCH }), deadline).await?;
        report.erased_secrets += secrets;
        report.forgotten_keys += keys;
        if secrets + keys + throttles == 0 {
            break;
        }
    }
    Ok(())
}
