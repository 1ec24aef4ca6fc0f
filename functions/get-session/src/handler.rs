//! Reads a session as the caller, and its threads at ChatKit.

use serde::{Deserialize, Serialize};
use shared::{
    clients::{openai::ChatKit, supabase::Reader},
    domain::{
        escalations::Escalation,
        events::{Event, Task},
        sessions::{self, Include, Session, Threads},
    },
    error::Error,
    http::{Answer, Request, Route},
    runtime::{Function, Setup},
};

/// Reads one session. Holds no secret key of Supabase.
pub struct GetSession {
    reader: Reader,
    chatkit: Option<ChatKit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    include: Option<Include>,
}

#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    session: Session,
    chatkit: Option<Threads>,
    events: Vec<Event>,
    tasks: Vec<Task>,
    escalations: Vec<Escalation>,
    cut: Vec<String>,
}

impl Function for GetSession {
    const ROUTE: Route = Route::get("/chatkit/sessions/{id}");

    fn new(setup: &mut Setup) -> Option<Self> {
        let (reader, chatkit) = (setup.reader(), setup.chatkit());
        Some(Self { reader: reader?, chatkit: chatkit? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let (id, call) = (request.id()?, &request.call);
        let Query { include } = request.query()?;
        let asked = self.chatkit.as_ref().filter(|_| include != Some(Include::Nothing));
        let summary = sessions::find(&self.reader, call, id).await?;
        let threads = async {
            let Some(chatkit) = asked else { return Ok(None) };
            let limit = sessions::charge_threads(&self.reader, call).await?;
            Ok(Some((chatkit, limit, sessions::newest_threads(chatkit, call, summary.chatkit_user()).await)))
        };
        // The row has named its user: from here on neither side waits for the other.
        let details = sessions::details(&self.reader, call, summary.session.id);
        let (details, threads) = tokio::try_join!(details, threads)?;
        let (chatkit, limit) = match threads {
            Some((chatkit, limit, newest)) => {
                (Some(newest.linked(chatkit, &details.thread_ids).await), Some(limit))
            }
            None => (None, None),
        };
        let answer = Answer::ok(&Body {
            session: summary.session,
            chatkit,
            events: details.events,
            tasks: details.tasks,
            escalations: details.escalations,
            cut: details.cut,
        })?;
        Ok(request.unless_unchanged(answer).limited(limit))
    }
}
