//! What became of a call on the wire. rmcp's errors tell neither whether the call had left nor the status of every answer, and they
//! quote the server; so our side of its transport keeps a record of its own.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::header::HeaderValue;
use rmcp::model::RequestId;

use super::{
    error::{CallError, ErrorResponse, Reason},
    result::ToolResult,
};

/// The most bytes that a server may answer with in one call, handshake included: room for an image or a file of three megabytes, which
/// is only named, and little enough for as many calls at once as a function makes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How often a stopped answer is taken up again. The server says when, which may be at once, and every time.
const MAX_RESUMPTIONS: u32 = 20;

/// The record of one call.
#[derive(Debug)]
pub(super) struct CallState(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Whether the tool's call may have left.
    called: bool,
    /// The id of the call under way.
    call: Option<RequestId>,
    /// What went wrong with the request under way.
    trouble: Option<TransportFailure>,
    /// How many bytes may still come.
    room: usize,
    /// How often the answer may still be taken up again.
    resumptions: u32,
    /// What the tool answered.
    outcome: Option<ToolResult>,
    /// Whether the server has forgotten the session that the request was made in.
    session_lost: bool,
    /// The session that the server opened for the probe.
    probe_session: Option<HeaderValue>,
}

#[derive(Clone, Copy, Debug)]
enum TransportFailure {
    Nothing(Reason),
    Status(u16, Option<Duration>),
    Rpc(i32),
}

impl CallState {
    pub fn new() -> Self {
        Self(Mutex::new(State {
            called: false,
            call: None,
            trouble: None,
            room: MAX_BYTES,
            resumptions: MAX_RESUMPTIONS,
            outcome: None,
            session_lost: false,
            probe_session: None,
        }))
    }

    /// A request leaves; if it is the tool's call, from now on it may have been done.
    pub fn request_sent(&self, call: Option<&RequestId>) {
        let mut state = self.lock();
        (state.trouble, state.session_lost) = (None, false);
        state.called |= call.is_some();
        state.call = call.cloned();
    }

    /// The request did not reach the server. If it was the tool's call, that was not made.
    pub fn not_delivered(&self, call: bool, reason: Reason) {
        let mut state = self.lock();
        state.trouble = Some(TransportFailure::Nothing(reason));
        state.called &= !call;
    }

    /// The server does not know the session, and has done nothing. `refused`: by a status that may mean something else as well.
    pub fn session_lost(&self, call: bool, refused: Option<u16>) {
        match refused {
            Some(status) => self.http_error(status, None),
            None => self.not_delivered(call, Reason::SessionLost),
        }
        self.lock().session_lost = true;
    }

    /// The id of the tool's call, if that is what is under way.
    pub fn call(&self) -> Option<RequestId> {
        self.lock().call.clone()
    }

    /// Whether the last request came to nothing because the server does not know its session.
    pub fn has_lost_session(&self) -> bool {
        self.lock().session_lost
    }

    /// Keeps what the tool answered.
    pub fn set_result(&self, outcome: ToolResult) {
        self.lock().outcome = Some(outcome);
    }

    /// Hands out what the tool answered.
    pub fn take_result(&self) -> Option<ToolResult> {
        self.lock().outcome.take()
    }

    /// The server opened a session for the probe, which nobody will use.
    pub fn open_probe_session(&self, id: HeaderValue) {
        self.lock().probe_session = Some(id);
    }

    /// Hands out that session, to be closed.
    pub fn take_probe_session(&self) -> Option<HeaderValue> {
        self.lock().probe_session.take()
    }

    /// The answer is none, or stopped.
    pub fn stream_failed(&self, reason: Reason) {
        self.lock().trouble.get_or_insert(TransportFailure::Nothing(reason));
    }

    /// The answer has a status that is not one of success.
    pub fn http_error(&self, status: u16, retry_after: Option<Duration>) {
        self.lock().trouble = Some(TransportFailure::Status(status, retry_after));
    }

    /// The answer is a JSON-RPC error.
    pub fn rpc_error(&self, code: i32) {
        self.lock().trouble = Some(TransportFailure::Rpc(code));
    }

    /// Takes in so many bytes more, if there is room for them.
    pub fn consume_bytes(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        match state.room.checked_sub(bytes) {
            Some(room) => state.room = room,
            None => state.trouble = Some(TransportFailure::Nothing(Reason::TooLarge)),
        }
        !matches!(state.trouble, Some(TransportFailure::Nothing(Reason::TooLarge)))
    }

    /// Takes up a stopped answer again, if that was not done too often and it was not we who stopped it.
    pub fn try_resume(&self) -> bool {
        let mut state = self.lock();
        let ours = matches!(state.trouble, Some(TransportFailure::Nothing(Reason::TooLarge)));
        let left = state.resumptions.checked_sub(1).filter(|_| !ours);
        state.resumptions = left.unwrap_or_default();
        left.is_some()
    }

    /// Why the call has no outcome. `otherwise` is what it looks like from above.
    pub fn error(&self, otherwise: Reason) -> CallError {
        let state = self.lock();
        let called = state.called;
        let answered = |status, rpc, retry_after| {
            CallError::Answered(ErrorResponse { status, rpc, retry_after, called })
        };
        let nothing = if called { CallError::Unknown } else { CallError::NotSent };
        match state.trouble {
            Some(TransportFailure::Status(status, retry_after)) => answered(status, None, retry_after),
            Some(TransportFailure::Rpc(code)) => answered(200, Some(code), None),
            Some(TransportFailure::Nothing(reason)) => nothing(reason),
            None => nothing(otherwise),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
