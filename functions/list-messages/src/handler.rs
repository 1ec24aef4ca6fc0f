//! Reads a session's messages as the caller.

use serde::{Deserialize, Serialize};
use shared::{
    clients::supabase::Reader,
    domain::{
        messages::{self, Message},
        pagination::{PageSize, SeqCursor},
    },
    error::Error,
    http::{Answer, Request, Route},
    runtime::{Function, Setup},
};

/// Lists the messages of a session. Holds no secret key.
pub struct ListMessages {
    reader: Reader,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    limit: Option<PageSize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Messages {
    messages: Vec<Message>,
    next_cursor: Option<String>,
}

impl Function for ListMessages {
    const ROUTE: Route = Route::get("/chatkit/sessions/{id}/messages");

    fn new(setup: &mut Setup) -> Option<Self> {
        Some(Self { reader: setup.reader()? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let id = request.id()?;
        let Query { limit, cursor } = request.query()?;
        let after = cursor.as_deref().map(SeqCursor::decode).transpose()?;
        let page = messages::list(&self.reader, &request.call, id, limit.unwrap_or_default(), after).await?;
        Answer::ok(&Messages { messages: page.rows, next_cursor: page.next_cursor })
    }
}
