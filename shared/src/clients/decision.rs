//! Values of human decisions that agents, the database and the API have in common.

use crate::platform::string_enum::words;

words! {
    pub enum Decision {
        /// Execute the call as shown.
        Approve = "approve",
        /// Execute the call with changed arguments.
        Edit = "edit",
        /// Do not execute the call.
        Reject = "reject",
        /// Answer the agent's question.
        Respond = "respond",
    }
}

words! {
    /// Risk level of a call. The session's user may decide only if it is low.
    pub enum Risk {
        Low = "low",
        Medium = "medium",
        High = "high",
    }
}

words! {
    /// Policy for who may decide.
    pub enum Approver {
        /// The session's user may decide too.
        SelfOrOther = "self",
        /// Only another person may decide.
        OtherOnly = "other",
    }
}
