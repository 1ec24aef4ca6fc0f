//! ChatKit: the seam at which its provider stands.
//!
//! Everything above speaks in the words of this page. Today OpenAI hosts ChatKit ([`hosted`]); another provider becomes
//! another variant of [`ChatKit`].

mod error;
mod hosted;

pub use error::{Error, Kind};
pub use hosted::{Hosted, api_key, project};

use crate::platform::{http_client::Deadline, parse::Timestamp, secret::Secret};

/// Whoever provides ChatKit.
#[derive(Clone)]
pub enum ChatKit {
    /// OpenAI, with an API key of ours.
    Hosted(Hosted),
}

/// What a ChatKit session is opened with.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Opening {
    /// The user as the provider knows them: opaque, one per organisation and user.
    #[serde(rename = "chatkit_user")]
    pub user: String,
    /// The agent's workflow, from our registry.
    pub workflow_id: String,
    /// The version that the registry pins, if it does.
    pub workflow_version: Option<String>,
    /// Whether the provider keeps traces.
    pub tracing_enabled: bool,
    /// How long it lives, if not the ten minutes that are the most.
    #[serde(skip)]
    pub lifetime_seconds: Option<u32>,
}

/// A ChatKit session: a token that lives ten minutes at most.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The provider's id, `cksess_…`.
    pub id: String,
    /// What the browser connects with.
    pub client_secret: Secret,
    /// When it runs out.
    pub expires_at: Timestamp,
}

/// A conversation at the provider.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    /// The provider's id, `cthr_…`.
    pub id: String,
    /// Its title, once it has one.
    pub title: Option<String>,
    /// `active`, `locked`, `closed`, or what else the provider says.
    pub status: String,
    /// When it began.
    pub created_at: Timestamp,
    /// Whose it is, as the provider knows them.
    #[serde(skip)]
    pub user: String,
}

/// A page of what was said in a thread.
#[derive(Debug)]
pub struct Messages {
    /// What people and the agent said; other items are passed over.
    pub messages: Vec<Message>,
    /// After which item the next page begins; none for the last page.
    pub next: Option<String>,
}

/// Something that was said in a thread.
#[derive(Debug, serde::Serialize)]
pub struct Message {
    /// ChatKit's id of the item.
    pub id: String,
    /// `user` or `agent`.
    pub role: &'static str,
    /// The text, its parts on lines of their own.
    pub content: String,
    /// What was attached: id, name, type and MIME type of each.
    pub attachments: Vec<serde_json::Value>,
    /// When it was said.
    pub created_at: Timestamp,
}

impl ChatKit {
    /// The same without a project, to tell whether it is the project that is refused.
    #[cfg(feature = "doctor")]
    pub(crate) fn unbound(&self) -> Self {
        match self {
            Self::Hosted(hosted) => Self::Hosted(hosted.unbound()),
        }
    }

    /// Opens a ChatKit session. Not safe to repeat: each call opens another.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(&self, opening: &Opening, deadline: Deadline) -> Result<Opened, Error> {
        match self {
            Self::Hosted(hosted) => hosted.open(opening, deadline).await,
        }
    }

    /// Cancels a ChatKit session. One that is gone already is cancelled.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel(&self, id: &str, deadline: Deadline) -> Result<(), Error> {
        match self {
            Self::Hosted(hosted) => hosted.cancel(id, deadline).await,
        }
    }

    /// The newest threads of a user, a hundred at most.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn threads(&self, user: &str, deadline: Deadline) -> Result<Vec<Thread>, Error> {
        match self {
            Self::Hosted(hosted) => hosted.threads(user, deadline).await,
        }
    }

    /// When the newest item of a thread was made; `None` if there is no such thread, or nothing in it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn newest_item(&self, thread_id: &str, deadline: Deadline) -> Result<Option<Timestamp>, Error> {
        match self {
            Self::Hosted(hosted) => hosted.newest_item(thread_id, deadline).await,
        }
    }

    /// A page of what was said in a thread, oldest first: after the item with this id, or from the beginning.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn messages(
        &self,
        thread_id: &str,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<Messages, Error> {
        match self {
            Self::Hosted(hosted) => hosted.messages(thread_id, after, deadline).await,
        }
    }

    /// The ids of a user's threads, a hundred at most: after the thread with this id, or from the oldest; none when they have no
    /// thread left.
    ///
    /// # Errors
    /// See [`Error`]. A thread of somebody else's among them is [`Kind::BadAnswer`].
    pub async fn thread_ids(
        &self,
        user: &str,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<Vec<String>, Error> {
        match self {
            Self::Hosted(hosted) => hosted.thread_ids(user, after, deadline).await,
        }
    }

    /// Whether an error is a refusal of the one thing that was asked about, a thread of this user say, and no outage: what else is
    /// asked for is answered. A 403 may be one of everything, so the user's list is asked for as well.
    pub async fn refuses_thread(&self, error: &Error, user: &str, deadline: Deadline) -> bool {
        match error.status {
            Some(403) => self.threads(user, deadline).await.is_ok(),
            Some(400 | 404 | 405 | 410 | 414 | 422) => true,
            // What its id does not allow to be asked for at all.
            None => error.kind == Kind::AgentRefused,
            _ => false,
        }
    }

    /// Deletes a thread with all that was said in it. One that is gone already is deleted.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_thread(&self, id: &str, deadline: Deadline) -> Result<(), Error> {
        match self {
            Self::Hosted(hosted) => hosted.delete_thread(id, deadline).await,
        }
    }

    /// One thread, whoever's it is; `None` if there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn thread(&self, id: &str, deadline: Deadline) -> Result<Option<Thread>, Error> {
        match self {
            Self::Hosted(hosted) => hosted.thread(id, deadline).await,
        }
    }
}
