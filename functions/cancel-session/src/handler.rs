//! Marks the session first, then cancels every live ChatKit session of it.

use shared::{
    clients::{openai::ChatKit, supabase::Writer},
    domain::sessions,
    error::Error,
    http::{Answer, Request, Route},
    runtime::{Function, Setup},
};

/// Ends a session.
pub struct CancelSession {
    writer: Writer,
    chatkit: Option<ChatKit>,
}

impl Function for CancelSession {
    const ROUTE: Route = Route::post("/chatkit/sessions/{id}/cancel");

    fn new(setup: &mut Setup) -> Option<Self> {
        let (writer, chatkit) = (setup.writer(), setup.chatkit());
        Some(Self { writer: writer?, chatkit: chatkit? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let (id, call) = (request.id()?, &request.call);
        request.without_body()?;
        let cancelled = sessions::cancel(&self.writer, call, id, request.idempotency()?).await?;
        if let Some(chatkit) = &self.chatkit {
            let of = sessions::Of::call(call, id);
            sessions::cancel_upstream(chatkit, &self.writer, of, &cancelled.live_chatkit_session_ids).await;
        }
        Answer::ok(&cancelled.session)
    }
}
