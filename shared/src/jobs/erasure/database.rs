//! What has to go from the database, in bounded transactions.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Erasure, ErasureRun};
use crate::error::Error;

/// Rows that go in one transaction.
const BATCH: u32 = 2000;

/// How often it is looked again whether a call under way has come to its end, in seconds.
const POLL_SECONDS: u64 = 2;

impl ErasureRun<'_> {
    /// Erases rows until none is left. What has to wait for a call under way is waited for.
    pub(super) async fn erase_rows(self) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Batch {
            left: bool,
            rows: u64,
            wait_seconds: u64,
        }
        loop {
            let arguments = json!({ "p_org_id": self.org_id, "p_user_id": self.user_id, "p_limit": BATCH });
            let Batch { left, rows, wait_seconds } =
                self.service_client.rpc("erase_batch", &arguments, self.deadline).await?;
            if !left {
                return Ok(());
            }
            self.check_time_left()?;
            if rows == 0 {
                tokio::time::sleep(Duration::from_secs(wait_seconds.clamp(1, POLL_SECONDS))).await;
                // What OpenAI was just being asked for may be there by now, and somebody has to cancel it.
                self.end_sessions().await?;
            }
        }
    }

    /// Erases the person's name at ChatKit, which was needed until here, and closes the record.
    /// `refused`: threads that OpenAI does not delete.
    pub(super) async fn finish(self, refused: &[String]) -> Result<Erasure, Error> {
        #[derive(Deserialize)]
        struct Finished {
            erasure: Erasure,
        }
        let arguments = json!({
            "p_org_id": self.org_id,
            "p_user_id": self.user_id,
            "p_refused_thread_ids": refused,
        });
        let Finished { erasure } =
            self.service_client.rpc_until_recorded("finish_erasure", &arguments, self.deadline).await?;
        Ok(erasure)
    }
}
