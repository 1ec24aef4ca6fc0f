//! Erasures of persons that stopped: ChatKit was down, or whoever carried one out died.

use serde::Deserialize;
use serde_json::json;

use super::{Batch, Report, Share};
use crate::{
    erasure::{self, Begun},
    error::Error,
};

/// Takes up the one that has waited longest. What keeps it from being finished is logged, and it comes again.
pub(super) async fn take_up_erasures(share: Share<'_>, report: &mut Report) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct Claimed {
        erasures: Vec<Begun>,
    }
    let Share { writer, chatkit, deadline, until } = share;
    // As long as this share: what it does not finish is there again for the next one.
    let arguments = json!({ "p_limit": 1, "p_lease_seconds": until.remaining().as_secs().max(1) });
    let Claimed { erasures } = writer.call("claim_erasures", &arguments, deadline).await?;
    let batch = Batch::of(erasures.len());
    for begun in erasures {
        let erasure_id = begun.id();
        match erasure::carry_out(begun, writer, chatkit, deadline, until).await {
            Ok(_) => report.finished_erasures += 1,
            Err(error) => {
                tracing::warn!(%erasure_id, %error, "an erasure is not finished");
                report.unfinished_erasures += 1;
            }
        }
    }
    Ok(batch)
}
