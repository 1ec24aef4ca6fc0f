//! Records the session, requests a ChatKit session from its provider, then records the result, in
//! this order.

use serde::Serialize;
use shared::{
    clients::supabase::ServiceClient,
    domain::{
        idempotency::IdempotencyKey,
        sessions::{self, ClientSecret, ClientSecretIssuer, Session},
    },
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

use crate::body::{Body, SessionRequest};

pub struct CreateSession {
    service_client: ServiceClient,
    /// `None` if no provider of client secrets is configured.
    issuer: Option<ClientSecretIssuer>,
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
        let issuer = dependencies.client_secret_issuer();
        Ok(Self { service_client: service_client?, issuer: issuer? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let service_client = &self.service_client;
        let context = &request.context;
        let providers = self.issuer.as_ref().map(ClientSecretIssuer::providers).unwrap_or_default();
        let session_request = request.json::<Body>()?.into_request()?;
        let key = request.idempotency_key()?.map(IdempotencyKey::with_lease);
        let opened = match &session_request {
            SessionRequest::New(new) => sessions::open(service_client, context, new, &providers, key).await?,
            SessionRequest::Renewal(renewal) => {
                sessions::renew(service_client, context, renewal, &providers, key).await?
            }
        };
        // A new session ends if it gets no secret, even if an earlier attempt with the same key
        // recorded it.
        let opening = matches!(session_request, SessionRequest::New(_));
        let is_new = opening && !opened.replayed;
        let chatkit = match &self.issuer {
            Some(issuer) => issuer.issue(service_client, context, &opened, opening).await?,
            None => None,
        };
        let created = Created { session: opened.session, chatkit };
        let answer = if is_new { Response::created(&created)? } else { Response::ok(&created)? };
        Ok(answer.with_rate_limit(opened.limit))
    }
}
