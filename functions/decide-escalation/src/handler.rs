//! Checks the answer against what was asked, read as the caller, then has the database decide.

use shared::{
    auth::DecisionRules,
    clients::supabase::{Reader, Writer},
    domain::escalations::{self, NewDecision},
    error::Error,
    http::{Answer, Request, Route},
    runtime::{Function, Setup},
};

/// Decides an escalation.
pub struct DecideEscalation {
    reader: Reader,
    writer: Writer,
    rules: DecisionRules,
}

impl Function for DecideEscalation {
    const ROUTE: Route = Route::post("/chatkit/escalations/{id}/decision");

    fn new(setup: &mut Setup) -> Option<Self> {
        let (reader, writer, rules) = (setup.reader(), setup.writer(), setup.decision_rules());
        Some(Self { reader: reader?, writer: writer?, rules: rules? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let (id, call) = (request.id()?, &request.call);
        let decision: NewDecision = request.json()?;
        let key = request.idempotency()?;
        let Self { reader, writer, rules } = self;
        Answer::ok(&escalations::decide(reader, writer, call, rules, id, &decision, key).await?)
    }
}
