//! Reads open escalations as the caller.

use serde::{Deserialize, Serialize};
use shared::{
    clients::supabase::Reader,
    domain::{
        escalations::{self, Escalation},
        pagination::{PageSize, TimeCursor},
    },
    error::Error,
    http::{Answer, Request, Route},
    runtime::{Function, Setup},
};

/// Lists open escalations. Holds no secret key.
pub struct ListEscalations {
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
struct Escalations {
    escalations: Vec<Escalation>,
    next_cursor: Option<String>,
}

impl Function for ListEscalations {
    const ROUTE: Route = Route::get("/chatkit/escalations");

    fn new(setup: &mut Setup) -> Option<Self> {
        Some(Self { reader: setup.reader()? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let Query { limit, cursor } = request.query()?;
        let after = cursor.as_deref().map(TimeCursor::decode).transpose()?;
        let page = escalations::list(&self.reader, &request.call, limit.unwrap_or_default(), after).await?;
        Answer::ok(&Escalations { escalations: page.rows, next_cursor: page.next_cursor })
    }
}
