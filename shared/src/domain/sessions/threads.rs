//! Threads of a session: for a hosted agent those at OpenAI that the session's events linked and
//! that belong to its user, for a self-hosted agent those in which the session was used.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::{
    clients::{
        openai::{self, ChatKit},
        supabase::{Rpc, UserClient},
    },
    domain::RequestContext,
    error::{Error, RateLimit},
    platform::{http_client::Deadline, parse::Timestamp, string_enum::words},
};

words! {
    /// Optional parts of the response of `GET /chatkit/sessions/{id}`.
    pub enum Include {
        /// The threads; those of a hosted session are read from OpenAI.
        Threads = "threads",
        /// The response has no threads, so OpenAI is not called.
        Nothing = "none",
    }
}

/// Threads of a session, as the API returns them.
#[derive(Debug, Serialize)]
pub struct Threads {
    /// Whether ChatKit responded.
    available: bool,
    /// The threads, latest link or use first; omitted if ChatKit did not respond.
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<Vec<SessionThread>>,
    /// Whether linked threads were not read.
    #[serde(skip)]
    pub is_cut: bool,
}

/// A thread of a session, as the API returns it. The database returns those of the self-hosted
/// chat.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct SessionThread {
    id: String,
    title: Option<String>,
    status: String,
    created_at: Timestamp,
}

impl From<openai::HostedThread> for SessionThread {
    fn from(thread: openai::HostedThread) -> Self {
        let openai::HostedThread { id, title, status, created_at, user: _ } = thread;
        Self { id, title, status, created_at }
    }
}

impl Threads {
    /// Threads of the self-hosted chat.
    pub const fn of_self_hosted(threads: Vec<SessionThread>) -> Self {
        Self { available: true, threads: Some(threads), is_cut: false }
    }
}

/// The newest threads of a session's user, in any session; [`UserThreads::with_linked`] selects
/// those of one session.
pub struct UserThreads {
    user: String,
    threads: Option<Vec<openai::HostedThread>>,
    deadline: Deadline,
}

/// Time limit for reading from ChatKit. The other parts of the session come from the database.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// Maximum number of linked threads, beyond the newest, that are read one by one.
const MAX_EXTRA_LOOKUPS: usize = 10;

/// Maximum number of threads that are read concurrently.
const CONCURRENCY: usize = 5;

#[derive(Serialize)]
struct ConsumeThreadReadLimitCall {}

impl Rpc for ConsumeThreadReadLimitCall {
    const NAME: &'static str = "consume_thread_read_limit";
    type Output = RateLimit;
}

/// Charges the caller's rate limit for reading the threads of one session, which takes up to eleven
/// requests to OpenAI. If the response is lost, the retry may charge twice.
///
/// # Errors
/// Returns `rate_limited` if the limit is exceeded.
pub async fn consume_thread_read_limit(
    user_client: &UserClient,
    context: &RequestContext,
) -> Result<RateLimit, Error> {
    Ok(user_client.rpc(&ConsumeThreadReadLimitCall {}, &context.caller.token, context.deadline).await?)
}

/// Reads the newest threads of a user from ChatKit. A failure is logged and returned as
/// unavailable.
pub async fn newest_threads(chatkit: &ChatKit, context: &RequestContext, user: &str) -> UserThreads {
    let deadline = context.deadline.capped(TIMEOUT);
    let threads = chatkit.threads(user, deadline).await;
    if let Err(error) = &threads {
        tracing::warn!(%error, "a session is read without its threads");
    }
    UserThreads { user: user.to_owned(), threads: threads.ok(), deadline }
}

impl UserThreads {
    /// Selects the threads that the session linked and that belong to its user according to
    /// ChatKit. Reads linked threads that are not among the newest one by one.
    pub async fn with_linked(self, chatkit: &ChatKit, links: &[String]) -> Threads {
        let Self { user, threads: Some(newest), deadline } = self else {
            return Threads { available: false, threads: None, is_cut: false };
        };
        let known = |link: &&String| newest.iter().any(|thread| thread.id == **link);
        let mut older: Vec<String> = links.iter().filter(|link| !known(link)).cloned().collect();
        let is_cut = older.len() > MAX_EXTRA_LOOKUPS;
        older.truncate(MAX_EXTRA_LOOKUPS);
        let ask = async |id: String| match chatkit.thread(&id, deadline).await {
            // OpenAI's refusal of one thread hides only that thread.
            Err(error) if chatkit.refuses_thread(&error, &user, deadline).await => Ok(None),
            thread => thread,
        };
        let older: Vec<_> = stream::iter(older).map(ask).buffered(CONCURRENCY).collect().await;
        let Ok(older) = older.into_iter().collect::<Result<Vec<_>, _>>() else {
            return Threads { available: false, threads: None, is_cut: false };
        };
        let found: Vec<openai::HostedThread> =
            newest.iter().cloned().chain(older.into_iter().flatten()).collect();
        let own =
            |link: &String| found.iter().find(|thread| thread.id == *link && thread.user == user).cloned();
        let own = links.iter().filter_map(own).map(SessionThread::from).collect();
        Threads { available: true, threads: Some(own), is_cut }
    }
}
