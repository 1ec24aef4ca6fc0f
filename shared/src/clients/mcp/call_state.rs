//! State of one MCP tool call in flight: whether the request may have reached the
//! server, and what went wrong.
//!
//! rmcp reports neither of these, nor the HTTP status of every response, and its errors quote the
//! server. So our transport keeps its own record.

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

/// Maximum number of bytes that a server may send in one call, handshake included. This is enough
/// for an image or a file of three megabytes, of which only a description is kept. It is small
/// enough for as many concurrent calls as a function makes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Maximum number of times that an interrupted response is resumed. The server chooses the delay,
/// which may be zero every time.
const MAX_RESUMPTIONS: u32 = 20;

#[derive(Debug)]
pub(super) struct CallState(Mutex<CallProgress>);

#[derive(Debug)]
struct CallProgress {
    /// Whether the tool call may have been sent.
    called: bool,
    /// Id of the tool call in flight.
    call: Option<RequestId>,
    /// Failure of the request in flight.
    failure: Option<TransportFailure>,
    /// Number of bytes that the server may still send.
    bytes_left: usize,
    /// Number of times that the response may still be resumed.
    resumptions: u32,
    outcome: Option<ToolResult>,
    /// Whether the server has forgotten the session of the request.
    session_lost: bool,
    /// Session that the server opened for the probe.
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
        Self(Mutex::new(CallProgress {
            called: false,
            call: None,
            failure: None,
            bytes_left: MAX_BYTES,
            resumptions: MAX_RESUMPTIONS,
            outcome: None,
            session_lost: false,
            probe_session: None,
        }))
    }

    /// Records that a request is about to be sent. `call` is the id of the tool call if the request
    /// is one: from now on it may have been executed.
    pub fn request_sent(&self, call: Option<&RequestId>) {
        let mut state = self.lock();
        (state.failure, state.session_lost) = (None, false);
        state.called |= call.is_some();
        state.call = call.cloned();
    }

    /// Records that the request did not reach the server. If it was the tool call,
    /// the call was not made.
    pub fn not_delivered(&self, call: bool, reason: Reason) {
        let mut state = self.lock();
        state.failure = Some(TransportFailure::Nothing(reason));
        state.called &= !call;
    }

    /// Records that the server does not know the session and has done nothing. `refused` is the
    /// HTTP status, if that status may mean something else as well.
    pub fn session_lost(&self, call: bool, refused: Option<u16>) {
        match refused {
            Some(status) => self.http_error(status, None),
            None => self.not_delivered(call, Reason::SessionLost),
        }
        self.lock().session_lost = true;
    }

    /// Returns the id of the tool call, if that is the request in flight.
    pub fn call(&self) -> Option<RequestId> {
        self.lock().call.clone()
    }

    /// Returns whether the last request failed because the server does not know its session.
    pub fn has_lost_session(&self) -> bool {
        self.lock().session_lost
    }

    pub fn set_result(&self, outcome: ToolResult) {
        self.lock().outcome = Some(outcome);
    }

    pub fn take_result(&self) -> Option<ToolResult> {
        self.lock().outcome.take()
    }

    /// Records a session that the server opened for the probe. The call does not use it.
    pub fn open_probe_session(&self, id: HeaderValue) {
        self.lock().probe_session = Some(id);
    }

    /// Returns the session of the probe, to be closed.
    pub fn take_probe_session(&self) -> Option<HeaderValue> {
        self.lock().probe_session.take()
    }

    /// Records that the response is missing, interrupted or unreadable. An earlier failure stays.
    pub fn stream_failed(&self, reason: Reason) {
        self.lock().failure.get_or_insert(TransportFailure::Nothing(reason));
    }

    /// Records a response whose status is not a success.
    pub fn http_error(&self, status: u16, retry_after: Option<Duration>) {
        self.lock().failure = Some(TransportFailure::Status(status, retry_after));
    }

    /// Records a response that is a JSON-RPC error.
    pub fn rpc_error(&self, code: i32) {
        self.lock().failure = Some(TransportFailure::Rpc(code));
    }

    /// Counts bytes of the response. Returns false if they exceed the limit.
    pub fn consume_bytes(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        match state.bytes_left.checked_sub(bytes) {
            Some(bytes_left) => state.bytes_left = bytes_left,
            None => state.failure = Some(TransportFailure::Nothing(Reason::TooLarge)),
        }
        !matches!(state.failure, Some(TransportFailure::Nothing(Reason::TooLarge)))
    }

    /// Uses up one resumption of an interrupted response. Returns false if none is left, or if we
    /// stopped reading because the response was too large.
    pub fn try_resume(&self) -> bool {
        let mut state = self.lock();
        let ours = matches!(state.failure, Some(TransportFailure::Nothing(Reason::TooLarge)));
        let left = state.resumptions.checked_sub(1).filter(|_| !ours);
        state.resumptions = left.unwrap_or_default();
        left.is_some()
    }

    /// Returns why the call has no result. `otherwise` is the reason that the caller observed, for
    /// the case that none is recorded.
    pub fn error(&self, otherwise: Reason) -> CallError {
        let state = self.lock();
        let called = state.called;
        let answered = |status, rpc, retry_after| {
            CallError::Answered(ErrorResponse { status, rpc, retry_after, called })
        };
        let nothing = if called { CallError::Unknown } else { CallError::NotSent };
        match state.failure {
            Some(TransportFailure::Status(status, retry_after)) => answered(status, None, retry_after),
            Some(TransportFailure::Rpc(code)) => answered(200, Some(code), None),
            Some(TransportFailure::Nothing(reason)) => nothing(reason),
            None => nothing(otherwise),
        }
    }

    fn lock(&self) -> MutexGuard<'_, CallProgress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
