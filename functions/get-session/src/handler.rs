//! Reads a session as the caller, and its threads at ChatKit.

use serde::Serialize;
use shared::{
    app::Setup,
    chatkit::ChatKit,
    edge::{Answer, Function, Request, Route},
    error::Error,
    escalations::Escalation,
    events::{Event, Task},
    sessions::{self, Session, Threads},
    supabase::Reader,
};

/// Reads one session. Holds no secret key of Supabase.
pub struct GetSession {
    reader: Reader,
    chatkit: Option<ChatKit>,
}

#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    session: Session,
    chatkit: Option<Threads>,
    events: Vec<Event>,
    tasks: Vec<Task>,
    escalations: Vec<Escalation>,
}

impl Function for GetSession {
    const ROUTE: Route = Route::get("/chatkit/sessions/{id}");

    fn new(setup: &mut Setup) -> Option<Self> {
        let (reader, chatkit) = (setup.reader(), setup.chatkit());
        Some(Self { reader: reader?, chatkit: chatkit? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let call = &request.call;
        let summary = sessions::find(&self.reader, call, request.id()?).await?;
        // The row has named its user: from here on neither side waits for the other.
        let (details, threads) = tokio::join!(
            sessions::details(&self.reader, call, summary.session.id),
            sessions::newest_threads(self.chatkit.as_ref(), call, summary.chatkit_user()),
        );
        let details = details?;
        let chatkit = match (&self.chatkit, threads) {
            (Some(chatkit), Some(newest)) => Some(newest.linked(chatkit, &details.chatkit_threads).await),
            _ => None,
        };
        let answer = Answer::ok(&Body {
            session: summary.session,
            chatkit,
            events: details.chat_events,
            tasks: details.chat_tasks,
            escalations: details.chat_escalations,
        })?;
        Ok(request.unless_unchanged(answer))
    }
}
