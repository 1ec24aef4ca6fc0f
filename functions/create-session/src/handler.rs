//! Records the session, requests a ChatKit session from OpenAI, then records the result, in this
//! order.

use serde::Serialize;
use shared::{
    clients::{openai::ChatKit, supabase::ServiceClient},
    domain::{
        idempotency::IdempotencyKey,
        sessions::{self, ClientSecret, Session},
    },
    error::Error,
    http::{Request, Response, Route},
    platform::sealing::Sealer,
    runtime::{Dependencies, Endpoint, Reported},
};

use crate::body::{Body, SessionRequest};

pub struct CreateSession {
    service_client: ServiceClient,
    /// The ChatKit client and the sealer of its client secrets; `None` if ChatKit is not
    /// configured.
    chatkit: Option<(ChatKit, Sealer)>,
}

#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    session: Session,
    chatkit: Option<ClientSecret>,
}

impl Endpoint for CreateSession {
    const ROUTE: Route = Route::post("/chatkit/sessions");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let service_client = dependencies.service_client();
        let chatkit = dependencies.chatkit_with_sealer();
        Ok(Self { service_client: service_client?, chatkit: chatkit? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let service_client = &self.service_client;
        let context = &request.context;
        let with_chatkit = self.chatkit.is_some();
        let session_request = request.json::<Body>()?.into_request()?;
        let key = request.idempotency_key()?.map(IdempotencyKey::with_lease);
        let opened = match &session_request {
            SessionRequest::New(new) => {
                sessions::open(service_client, context, new, with_chatkit, key).await?
            }
            SessionRequest::Renewal(renewal) => {
                sessions::renew(service_client, context, renewal, with_chatkit, key).await?
            }
        };
        // A new session ends if it gets no secret, even if an earlier attempt with the same key
        // recorded it.
        let opening = matches!(session_request, SessionRequest::New(_));
        let is_new = opening && !opened.replayed;
        let chatkit = match &self.chatkit {
            Some((chatkit, sealer)) => Some(
                sessions::issue_client_secret((chatkit, service_client, sealer), context, &opened, opening)
                    .await?,
            ),
            None => None,
        };
        let created = Created { session: opened.session, chatkit };
        let answer = if is_new { Response::created(&created)? } else { Response::ok(&created)? };
        Ok(answer.with_rate_limit(opened.limit))
    }
}
