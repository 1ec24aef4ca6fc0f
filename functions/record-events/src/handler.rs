//! Records all events of a request or none, and cancels the ChatKit sessions of an agent that
//! handed the session over.

use serde::Serialize;
use shared::{
    auth::DecisionRules,
    clients::{openai::ChatKit, supabase::ServiceClient},
    domain::{
        events::{self, RecordedEvent},
        sessions,
    },
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

pub struct RecordEvents {
    service_client: ServiceClient,
    chatkit: Option<ChatKit>,
    rules: DecisionRules,
}

#[derive(Serialize)]
struct Body {
    events: Vec<RecordedEvent>,
}

impl Endpoint for RecordEvents {
    const ROUTE: Route = Route::post("/chatkit/sessions/{id}/events");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let service_client = dependencies.service_client();
        let chatkit = dependencies.chatkit();
        let rules = dependencies.decision_rules();
        Ok(Self { service_client: service_client?, chatkit: chatkit?, rules: rules? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let id = request.id()?;
        let context = &request.context;
        let events = events::parse(request.json_value()?)?;
        let key = request.idempotency_key()?;
        let recorded = events::record(&self.service_client, context, &self.rules, id, &events, key).await?;
        if let Some(chatkit) = &self.chatkit {
            let of = sessions::SessionRef::of_caller(context, id);
            sessions::cancel_chatkit_sessions(
                chatkit,
                &self.service_client,
                of,
                &recorded.live_chatkit_session_ids,
            )
            .await;
        }
        Ok(Response::created(&Body { events: recorded.events })?.with_rate_limit(recorded.limit))
    }
}
