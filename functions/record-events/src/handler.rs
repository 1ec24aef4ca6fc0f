//! Records events, all or none, and lets go of the ChatKit sessions of an agent that was handed over.

use serde::Serialize;
use shared::{
    auth::DecisionRules,
    clients::{openai::ChatKit, supabase::Writer},
    domain::{
        events::{self, RecordedEvent},
        sessions,
    },
    error::Error,
    http::{Answer, Request, Route},
    runtime::{Function, Setup},
};

/// Records events of a session.
pub struct RecordEvents {
    writer: Writer,
    chatkit: Option<ChatKit>,
    rules: DecisionRules,
}

#[derive(Serialize)]
struct Body {
    events: Vec<RecordedEvent>,
}

impl Function for RecordEvents {
    const ROUTE: Route = Route::post("/chatkit/sessions/{id}/events");

    fn new(setup: &mut Setup) -> Option<Self> {
        let (writer, chatkit, rules) = (setup.writer(), setup.chatkit(), setup.decision_rules());
        Some(Self { writer: writer?, chatkit: chatkit?, rules: rules? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let (id, call) = (request.id()?, &request.call);
        let events = events::parse(request.any_json()?)?;
        let key = request.idempotency()?;
        let recorded = events::record(&self.writer, call, &self.rules, id, &events, key).await?;
        if let Some(chatkit) = &self.chatkit {
            let of = sessions::Of::call(call, id);
            sessions::cancel_upstream(chatkit, &self.writer, of, &recorded.live_chatkit_session_ids).await;
        }
        Ok(Answer::created(&Body { events: recorded.events })?.limited(recorded.limit))
    }
}
