//! A session's conversations at ChatKit: those that its events linked, and of those only its user's own.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::{
    clients::{
        openai::{ChatKit, Thread},
        supabase::UserClient,
    },
    domain::RequestContext,
    error::{Error, RateLimit},
    platform::{http_client::Deadline, string_enum::words},
};

words! {
    /// What is read with a session.
    pub enum Include {
        /// Its threads, for which OpenAI is asked.
        Threads = "threads",
        /// Nothing that OpenAI has to be asked for.
        Nothing = "none",
    }
}

/// What ChatKit says of a session.
#[derive(Debug, Serialize)]
pub struct Threads {
    /// Whether ChatKit answered.
    available: bool,
    /// The session's threads, the one linked last first; left out where ChatKit did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<Vec<Thread>>,
}

/// The newest threads of the session's user, whichever session they belong to: to be narrowed by [`Newest::linked`].
pub struct UserThreads {
    user: String,
    threads: Option<Vec<Thread>>,
    deadline: Deadline,
}

/// How long a reader waits for ChatKit. The rest of the session is there already.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// How many threads beyond the newest are looked up one by one.
const MAX_EXTRA_LOOKUPS: usize = 10;

/// How many of those at the same time.
const CONCURRENCY: usize = 5;

/// Charges the caller for the threads of one session: each is up to eleven requests to OpenAI.
///
/// # Errors
/// `rate_limited`, and those of Supabase.
pub async fn consume_thread_read_limit(
    user_client: &UserClient,
    context: &RequestContext,
) -> Result<RateLimit, Error> {
    Ok(user_client.charge("consume_thread_read_limit", &context.caller.token, context.deadline).await?)
}

/// Asks ChatKit for the newest threads of a user.
pub async fn newest_threads(chatkit: &ChatKit, context: &RequestContext, user: &str) -> UserThreads {
    let deadline = context.deadline.capped(TIMEOUT);
    let threads = chatkit.threads(user, deadline).await;
    if let Err(error) = &threads {
        tracing::warn!(%error, "a session is read without its threads");
    }
    UserThreads { user: user.to_owned(), threads: threads.ok(), deadline }
}

impl UserThreads {
    /// The threads that the session linked, and that ChatKit says are its user's. Linked ones that are not among the
    /// newest are asked for one by one.
    pub async fn with_linked(self, chatkit: &ChatKit, links: &[String]) -> Threads {
        let Self { user, threads: Some(newest), deadline } = self else {
            return Threads { available: false, threads: None };
        };
        let known = |link: &&String| newest.iter().any(|thread| thread.id == **link);
        let older: Vec<String> =
            links.iter().filter(|link| !known(link)).take(MAX_EXTRA_LOOKUPS).cloned().collect();
        let ask = async |id: String| match chatkit.thread(&id, deadline).await {
            // What OpenAI refuses of one thread hides that one.
            Err(error) if chatkit.refuses_thread(&error, &user, deadline).await => Ok(None),
            thread => thread,
        };
        let older: Vec<_> = stream::iter(older).map(ask).buffered(CONCURRENCY).collect().await;
        let Ok(older) = older.into_iter().collect::<Result<Vec<_>, _>>() else {
            return Threads { available: false, threads: None };
        };
        let found: Vec<Thread> = newest.iter().cloned().chain(older.into_iter().flatten()).collect();
        let own =
            |link: &String| found.iter().find(|thread| thread.id == *link && thread.user == user).cloned();
        Threads { available: true, threads: Some(links.iter().filter_map(own).collect()) }
    }
}
