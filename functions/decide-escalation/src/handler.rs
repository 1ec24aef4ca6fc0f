//! Checks the answer against what was asked, read as the caller, then has the database decide.

use shared::{
    app::Setup,
    edge::{Answer, Function, Request, Route},
    error::Error,
    escalations::{self, NewDecision},
    supabase::{Reader, Writer},
};

/// Decides an escalation.
pub struct DecideEscalation {
    reader: Reader,
    writer: Writer,
}

impl Function for DecideEscalation {
    const ROUTE: Route = Route::post("/chatkit/escalations/{id}/decision");

    fn new(setup: &mut Setup) -> Option<Self> {
        let (reader, writer) = (setup.reader(), setup.writer());
        Some(Self { reader: reader?, writer: writer? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let (id, call) = (request.id()?, &request.call);
        let decision: NewDecision = request.json()?;
        let key = request.idempotency()?;
        Answer::ok(&escalations::decide(&self.reader, &self.writer, call, id, &decision, key).await?)
    }
}
