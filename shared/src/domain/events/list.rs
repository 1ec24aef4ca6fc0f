//! Lists the events of a session, as the caller.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Event;
use crate::{
    clients::supabase::{Rpc, UserClient},
    domain::{
        RequestContext,
        pagination::{Cursor, Page, PageRequest, PageSize, Rows},
    },
    error::{Error, FieldError},
    platform::{parse::integer, string_enum::words},
};

words! {
    pub enum EventSort {
        Oldest = "oldest",
        Newest = "newest",
    }
}

/// The query parameters of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventListQuery {
    sort: Option<EventSort>,
    limit: Option<PageSize>,
    cursor: Option<String>,
}

/// The number of an event, and the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct EventCursor {
    #[serde(skip)]
    sort: EventSort,
    #[serde(rename = "p_after_seq")]
    seq: i64,
}

impl Cursor for EventCursor {
    fn to_text(&self) -> String {
        format!("{}.{}", self.sort.as_str(), self.seq)
    }

    fn from_text(text: String) -> Option<Self> {
        let (sort, seq) = text.split_once('.')?;
        let sort = EventSort::try_from(sort.to_owned()).ok()?;
        integer(seq).filter(|seq| *seq >= 0).map(|seq| Self { sort, seq })
    }
}

/// The page of events that a caller requests.
#[derive(Debug)]
pub struct EventPageRequest {
    sort: EventSort,
    page: PageRequest<EventCursor>,
}

impl EventListQuery {
    /// Checks the parameters together.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`](crate::error::ErrorCode::InvalidRequest) for a cursor of
    /// another order, and the errors of [`PageRequest::new`].
    pub fn into_page(self) -> Result<EventPageRequest, Error> {
        let sort = self.sort.unwrap_or(EventSort::Oldest);
        let cursor = self.cursor.as_deref();
        if cursor.map(EventCursor::decode).transpose()?.is_some_and(|cursor| cursor.sort != sort) {
            return Err(Error::invalid(vec![FieldError::at("cursor", "is of a list with another sort")]));
        }
        Ok(EventPageRequest { sort, page: PageRequest::new(self.limit.unwrap_or_default(), cursor)? })
    }
}

#[derive(Serialize)]
struct ListEventsCall {
    p_session_id: Uuid,
    p_newest_first: bool,
    #[serde(flatten)]
    page: PageRequest<EventCursor>,
}

impl Rpc for ListEventsCall {
    const NAME: &'static str = "list_events";
    type Output = Rows<Event>;
}

/// Lists the events of a session by their number.
///
/// # Errors
/// Returns `session_not_found` if the session does not exist or the caller may not see it.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    session_id: Uuid,
    request: EventPageRequest,
) -> Result<Page<Event>, Error> {
    let EventPageRequest { sort, page } = request;
    let call = ListEventsCall { p_session_id: session_id, p_newest_first: sort == EventSort::Newest, page };
    let rows = user_client.rpc(&call, &context.caller.token, context.deadline).await?;
    Ok(rows.into_page(|last| EventCursor { sort, seq: last.seq }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ErrorCode, platform::parse};

    fn arguments(query: &str) -> Result<serde_json::Value, Error> {
        let query: EventListQuery = parse::query(query)?;
        query.into_page().map(|request| serde_json::to_value(request.page).unwrap_or_default())
    }

    #[test]
    fn cursor_belongs_to_one_order() {
        let cursor = EventCursor { sort: EventSort::Newest, seq: 7 };
        assert_eq!(EventCursor::decode(&cursor.encode()).unwrap(), cursor);
        let query = |sort| format!("{sort}cursor={}", cursor.encode());
        let expected = serde_json::json!({ "p_limit": 20, "p_after_seq": 7 });
        assert_eq!(arguments(&query("sort=newest&")).unwrap(), expected);
        for other in ["sort=oldest&", ""] {
            assert_eq!(arguments(&query(other)).unwrap_err().code, ErrorCode::InvalidRequest);
        }
        let malformed = [String::new(), "7".to_owned(), "newest.-7".to_owned(), "id.7".to_owned()];
        for text in malformed {
            assert!(EventCursor::from_text(text).is_none());
        }
    }
}
