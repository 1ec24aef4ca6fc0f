//! Ends the session in the database first, then cancels its live ChatKit sessions.

use shared::{
    clients::{openai::ChatKit, supabase::ServiceClient},
    domain::sessions,
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

pub struct CancelSession {
    service_client: ServiceClient,
    chatkit: Option<ChatKit>,
}

impl Endpoint for CancelSession {
    const ROUTE: Route = Route::post("/chatkit/sessions/{id}/cancel");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let service_client = dependencies.service_client();
        let chatkit = dependencies.chatkit();
        Ok(Self { service_client: service_client?, chatkit: chatkit? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let id = request.id()?;
        let context = &request.context;
        request.require_empty_body()?;
        let cancelled =
            sessions::cancel(&self.service_client, context, id, request.idempotency_key()?).await?;
        if let Some(chatkit) = &self.chatkit {
            let of = sessions::SessionRef::of_caller(context, id);
            sessions::cancel_chatkit_sessions(
                chatkit,
                &self.service_client,
                of,
                &cancelled.live_chatkit_session_ids,
            )
            .await;
        }
        Response::ok(&cancelled.session)
    }
}
