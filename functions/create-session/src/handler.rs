//! Records the session, asks ChatKit, records what it answered: in this order.

use serde::Serialize;
use shared::{
    clients::{openai::ChatKit, supabase::Writer},
    domain::{
        idempotency::Idempotency,
        sessions::{self, ClientSecret, Session},
    },
    error::Error,
    http::{Answer, Request, Route},
    platform::sealing::Sealer,
    runtime::{Function, Setup},
};

use crate::body::{Body, Wish};

/// Opens a session, or gives an open one to another device.
pub struct CreateSession {
    writer: Writer,
    /// ChatKit, and what seals its secrets; none where it is not configured.
    chatkit: Option<(ChatKit, Sealer)>,
}

#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    session: Session,
    chatkit: Option<ClientSecret>,
}

impl Function for CreateSession {
    const ROUTE: Route = Route::post("/chatkit/sessions");

    fn new(setup: &mut Setup) -> Option<Self> {
        let (writer, chatkit) = (setup.writer(), setup.sealed_chatkit());
        Some(Self { writer: writer?, chatkit: chatkit? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let (writer, call, with_chatkit) = (&self.writer, &request.call, self.chatkit.is_some());
        let wish = request.json::<Body>()?.wish()?;
        let key = request.idempotency()?.map(Idempotency::leased);
        let opened = match &wish {
            Wish::New(new) => sessions::open(writer, call, new, with_chatkit, key).await?,
            Wish::Renewal(renewal) => sessions::renew(writer, call, renewal, with_chatkit, key).await?,
        };
        // A session that is being opened ends if it gets no secret, also where an earlier attempt with the key put it on record.
        let opening = matches!(wish, Wish::New(_));
        let is_new = opening && !opened.replayed;
        let chatkit = match &self.chatkit {
            Some((chatkit, sealer)) => {
                Some(sessions::obtain((chatkit, writer, sealer), call, &opened, opening).await?)
            }
            None => None,
        };
        let created = Created { session: opened.session, chatkit };
        let answer = if is_new { Answer::created(&created)? } else { Answer::ok(&created)? };
        Ok(answer.limited(opened.limit))
    }
}
