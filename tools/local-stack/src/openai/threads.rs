//! Threads belong to a project and a user, and outlive sessions.

use serde_json::{Value, json};
use uuid::Uuid;

use super::items::Item;
use super::page::Page;
use super::response::{ApiError, Outcome};

/// Whether a thread accepts messages. OpenAI may give a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThreadStatus {
    Active,
    /// Does not accept messages for now.
    Locked(Option<String>),
    /// Does not accept messages again.
    Closed(Option<String>),
}

#[derive(Debug, Clone)]
pub(super) struct Thread {
    pub(super) id: String,
    pub(super) project: String,
    pub(super) user: String,
    pub(super) title: Option<String>,
    pub(super) status: ThreadStatus,
    created_at: u64,
    /// Oldest first, as `(id, JSON)`.
    items: Vec<(String, Value)>,
}

impl Thread {
    pub(super) fn json(&self) -> Value {
        let status = match &self.status {
            ThreadStatus::Active => json!({"type": "active"}),
            ThreadStatus::Locked(reason) => json!({"type": "locked", "reason": reason}),
            ThreadStatus::Closed(reason) => json!({"type": "closed", "reason": reason}),
        };
        json!({
            "id": self.id,
            "object": "chatkit.thread",
            "created_at": self.created_at,
            "title": self.title,
            "status": status,
            "user": self.user,
        })
    }

    /// Appends an item and returns its id.
    pub(super) fn put(&mut self, item: Item, now: u64) -> String {
        let id = format!("cti_{}", Uuid::new_v4().simple());
        self.items.push((id.clone(), item.into_json(&id, &self.id, now)));
        id
    }
}

/// All threads, oldest first.
#[derive(Debug, Default)]
pub(super) struct Threads(Vec<Thread>);

impl Threads {
    pub(super) fn open(&mut self, project: &str, user: &str, title: Option<String>, now: u64) -> &mut Thread {
        self.0.push(Thread {
            id: format!("cthr_{}", Uuid::new_v4().simple()),
            project: project.to_owned(),
            user: user.to_owned(),
            title,
            status: ThreadStatus::Active,
            created_at: now,
            items: Vec::new(),
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    pub(super) fn get(&self, id: &str) -> Option<&Thread> {
        self.0.iter().find(|t| t.id == id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Thread> {
        self.0.iter_mut().find(|t| t.id == id)
    }

    pub(super) fn ids_of_user(&self, user: &str) -> Vec<String> {
        self.0.iter().filter(|t| t.user == user).map(|t| t.id.clone()).collect()
    }

    fn find(&self, project: &str, id: &str) -> Result<&Thread, ApiError> {
        self.get(id).filter(|t| t.project == project).ok_or_else(|| ApiError::not_found("Thread", id))
    }

    /// Lists the threads of the project, of one user or of all users.
    pub(super) fn list(&self, project: &str, page: &Page) -> Outcome {
        let rows = self.0.iter().filter(|t| t.project == project);
        let rows = rows.filter(|t| page.user.as_ref().is_none_or(|user| *user == t.user));
        page.slice(rows.map(|t| (t.id.clone(), t.json())).collect())
    }

    pub(super) fn retrieve(&self, project: &str, id: &str) -> Outcome {
        self.find(project, id).map(Thread::json)
    }

    pub(super) fn items(&self, project: &str, id: &str, page: &Page) -> Outcome {
        page.slice(self.find(project, id)?.items.clone())
    }

    pub(super) fn delete(&mut self, project: &str, id: &str) -> Outcome {
        self.find(project, id)?;
        self.0.retain(|t| t.id != id);
        Ok(json!({"id": id, "object": "chatkit.thread.deleted", "deleted": true}))
    }
}
