//! The jobs that have work, so that an idle run makes two calls instead of one for each job.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    clients::supabase::{Rpc, ServiceClient},
    error::Error,
    platform::http_client::Deadline,
};

#[derive(Serialize)]
struct ListDueJobsCall {}

impl Rpc for ListDueJobsCall {
    const NAME: &'static str = "list_due_jobs";
    type Output = BTreeMap<String, bool>;
}

/// Returns the names of the jobs that may have work.
pub(super) async fn list_due_jobs(
    service_client: &ServiceClient,
    deadline: Deadline,
) -> Result<BTreeSet<String>, Error> {
    let jobs = service_client.rpc(&ListDueJobsCall {}, deadline).await?;
    Ok(jobs.into_iter().filter_map(|(job, is_due)| is_due.then_some(job)).collect())
}
