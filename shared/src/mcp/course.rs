//! What became of a call on the wire. rmcp's errors tell neither whether the call had left nor the status of every answer, and they
//! quote the server; so our side of its transport keeps a record of its own.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::error::{Answered, CallError, Reason};

/// The most bytes that a server may answer with in one call, handshake included.
const MAX_BYTES: usize = 1024 * 1024;

/// How often a stopped answer is taken up again. The server says when, which may be at once, and every time.
const MAX_RESUMPTIONS: u32 = 20;

/// The record of one call.
#[derive(Debug)]
pub(super) struct Course(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Whether the tool's call may have left.
    called: bool,
    /// What went wrong with the request under way.
    trouble: Option<Trouble>,
    /// How many bytes may still come.
    room: usize,
    /// How often the answer may still be taken up again.
    resumptions: u32,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Nothing(Reason),
    Status(u16, Option<Duration>),
    Rpc(i32),
}

impl Course {
    pub fn new() -> Self {
        Self(Mutex::new(State {
            called: false,
            trouble: None,
            room: MAX_BYTES,
            resumptions: MAX_RESUMPTIONS,
        }))
    }

    /// A request leaves; if it is the tool's call, from now on it may have been done.
    pub fn begins(&self, call: bool) {
        let mut state = self.lock();
        state.trouble = None;
        state.called |= call;
    }

    /// The request did not reach the server, or was refused as one of a session that is gone. If it was the tool's call, that was
    /// not made.
    pub fn not_taken(&self, call: bool, reason: Reason) {
        let mut state = self.lock();
        state.trouble = Some(Trouble::Nothing(reason));
        state.called &= !call;
    }

    /// The answer is none, or stopped.
    pub fn broke(&self, reason: Reason) {
        self.lock().trouble.get_or_insert(Trouble::Nothing(reason));
    }

    /// The answer has a status that is not one of success.
    pub fn refused(&self, status: u16, retry_after: Option<Duration>) {
        self.lock().trouble = Some(Trouble::Status(status, retry_after));
    }

    /// The answer is a JSON-RPC error.
    pub fn failed(&self, code: i32) {
        self.lock().trouble = Some(Trouble::Rpc(code));
    }

    /// Takes in so many bytes more, if there is room for them.
    pub fn takes(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        match state.room.checked_sub(bytes) {
            Some(room) => state.room = room,
            None => state.trouble = Some(Trouble::Nothing(Reason::TooLarge)),
        }
        !matches!(state.trouble, Some(Trouble::Nothing(Reason::TooLarge)))
    }

    /// Takes up a stopped answer again, if that was not done too often and it was not we who stopped it.
    pub fn resumes(&self) -> bool {
        let mut state = self.lock();
        let ours = matches!(state.trouble, Some(Trouble::Nothing(Reason::TooLarge)));
        let left = state.resumptions.checked_sub(1).filter(|_| !ours);
        state.resumptions = left.unwrap_or_default();
        left.is_some()
    }

    /// Why the call has no outcome. `otherwise` is what it looks like from above.
    pub fn error(&self, otherwise: Reason) -> CallError {
        let state = self.lock();
        let called = state.called;
        let answered =
            |status, rpc, retry_after| CallError::Answered(Answered { status, rpc, retry_after, called });
        let nothing = if called { CallError::Unknown } else { CallError::NotSent };
        match state.trouble {
            Some(Trouble::Status(status, retry_after)) => answered(status, None, retry_after),
            Some(Trouble::Rpc(code)) => answered(200, Some(code), None),
            Some(Trouble::Nothing(reason)) => nothing(reason),
            None => nothing(otherwise),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
