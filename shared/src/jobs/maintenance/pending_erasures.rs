//! Erasures of persons that stopped: ChatKit was down, or whoever carried one out died.

use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use super::{Batch, Report, SMALL_BATCH, Share};
use crate::{
    error::Error,
    jobs::erasure::{self, Begun},
};

/// Erasures that are carried out at the same time.
const AT_ONCE: usize = 4;

/// Takes up those that have waited longest. What keeps one from being finished is logged, and it comes again.
pub(super) async fn take_up_erasures(share: Share<'_>, report: &mut Report) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct Claimed {
        erasures: Vec<Begun>,
    }
    let Share { writer, chatkit, deadline, until } = share;
    // As long as this share: what it does not finish is there again for the next one.
    let lease = until.remaining().as_secs().max(1);
    let arguments = json!({ "p_limit": SMALL_BATCH, "p_lease_seconds": lease });
    let Claimed { erasures } = writer.call("claim_erasures", &arguments, deadline).await?;
    let batch = Batch::of(erasures.len());
    let carry_out = async |begun: Begun| {
        let erasure_id = begun.id();
        let finished = erasure::carry_out(begun, writer, chatkit, deadline, until).await;
        finished.inspect_err(|error| tracing::warn!(%erasure_id, %error, "an erasure is not finished"))
    };
    let mut outcomes = std::pin::pin!(stream::iter(erasures).map(carry_out).buffer_unordered(AT_ONCE));
    while let Some(finished) = outcomes.next().await {
        match finished {
            Ok(_) => report.finished_erasures += 1,
            Err(_) => report.unfinished_erasures += 1,
        }
    }
    Ok(batch)
}
