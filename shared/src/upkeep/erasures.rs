//! Erasures of persons that stopped: ChatKit was down, or whoever carried one out died.

use serde::Deserialize;
use serde_json::json;

use super::{LEASE_SECONDS, Report};
use crate::{
    chatkit::ChatKit,
    erasure::{self, Begun},
    error::Error,
    supabase::Writer,
    upstream::Deadline,
};

/// Takes them up, one after the other.
///
/// # Errors
/// Those of Supabase when it is asked for them. What keeps one from being finished is logged, and it comes again.
pub async fn take_up_erasures(
    writer: &Writer,
    chatkit: Option<&ChatKit>,
    deadline: Deadline,
    report: &mut Report,
) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Claimed {
        erasures: Vec<Begun>,
    }
    while deadline.leaves_room() {
        let arguments = json!({ "p_limit": 1, "p_lease_seconds": LEASE_SECONDS });
        let Claimed { erasures } = writer.call("claim_erasures", &arguments, deadline).await?;
        if erasures.is_empty() {
            break;
        }
        for begun in erasures {
            let erasure_id = begun.id();
            match erasure::carry_out(begun, writer, chatkit, deadline).await {
                Ok(_) => report.finished_erasures += 1,
                Err(error) => {
                    tracing::warn!(%erasure_id, %error, "an erasure is not finished");
                    report.unfinished_erasures += 1;
                }
            }
        }
    }
    Ok(())
}
