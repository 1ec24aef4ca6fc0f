//! One call of the API: who makes it, and until when they wait.

use crate::{auth::Caller, upstream::Deadline};

/// A verified call. Whatever is done for it is given this, and nothing is looked up elsewhere.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who is calling.
    pub caller: Caller,
    /// Until when an answer is of use, with time left to send it.
    pub deadline: Deadline,
}
