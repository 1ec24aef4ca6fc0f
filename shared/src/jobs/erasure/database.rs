//! Erasing a user's rows from the database, in transactions of a limited size.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Erasure, ErasureRun};
use crate::{clients::supabase::Rpc, error::Error};

/// Maximum number of rows that one transaction erases.
const BATCH: u32 = 2000;

/// Maximum wait in seconds before erasure is retried while a call is in progress.
const POLL_SECONDS: u64 = 2;

#[derive(Serialize)]
struct EraseBatchCall {
    p_org_id: Uuid,
    p_user_id: Uuid,
    p_limit: u32,
}

#[derive(Deserialize)]
struct ErasedBatch {
    left: bool,
    rows: u64,
    wait_seconds: u64,
}

impl Rpc for EraseBatchCall {
    const NAME: &'static str = "erase_batch";
    type Output = ErasedBatch;
}

#[derive(Serialize)]
struct FinishErasureCall<'a> {
    p_org_id: Uuid,
    p_user_id: Uuid,
    p_refused_thread_ids: &'a [String],
}

#[derive(Deserialize)]
struct FinishedErasure {
    erasure: Erasure,
}

impl Rpc for FinishErasureCall<'_> {
    const NAME: &'static str = "finish_erasure";
    type Output = FinishedErasure;
}

impl ErasureRun<'_> {
    /// Erases rows until none is left. Waits for calls in progress, whose rows are still needed.
    pub(super) async fn erase_rows(self) -> Result<(), Error> {
        let call = EraseBatchCall { p_org_id: self.org_id, p_user_id: self.user_id, p_limit: BATCH };
        loop {
            let ErasedBatch { left, rows, wait_seconds } =
                self.service_client.rpc(&call, self.deadline).await?;
            tracing::debug!(rows, "rows erased");
            if !left {
                return Ok(());
            }
            self.check_time_left()?;
            if rows == 0 {
                tokio::time::sleep(Duration::from_secs(wait_seconds.clamp(1, POLL_SECONDS))).await;
                // A pending request to OpenAI may have created a ChatKit session, which must be
                // cancelled.
                self.end_sessions().await?;
            }
        }
    }

    /// Erases the user's name at ChatKit, which all earlier steps need, and completes the record.
    /// `refused` has the threads that OpenAI refused to delete.
    pub(super) async fn finish(self, refused: &[String]) -> Result<Erasure, Error> {
        let call = FinishErasureCall {
            p_org_id: self.org_id,
            p_user_id: self.user_id,
            p_refused_thread_ids: refused,
        };
        Ok(self.service_client.rpc_until_recorded(&call, self.deadline).await?.erasure)
    }
}
