//! Lists escalations, as the caller. Row level security shows them to the session's user and to the
//! organisation's approvers only.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Escalation, EscalationStatus, Risk};
use crate::{
    auth::DecisionRules,
    clients::supabase::{Rpc, UserClient},
    domain::{
        RequestContext,
        model::session::AgentId,
        pagination::{Cursor, Page, PageRequest, PageSize, TimeCursor},
    },
    error::{Error, FieldError},
    platform::{
        parse::{StrictUuid, Timestamp},
        string_enum::words,
    },
};

words! {
    pub enum Sort {
        /// The oldest first.
        Waiting = "waiting",
        /// The next to expire first.
        Expiry = "expiry",
        /// The newest first.
        Newest = "newest",
    }
}

words! {
    pub enum ClaimedBy {
        Caller = "me",
    }
}

words! {
    pub enum Decidable {
        Yes = "true",
    }
}

/// Statuses separated by commas.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "Vec<EscalationStatus>")]
pub struct StatusList(Vec<EscalationStatus>);

impl TryFrom<String> for StatusList {
    type Error = String;

    fn try_from(list: String) -> Result<Self, String> {
        let mut statuses = Vec::new();
        for word in list.split(',') {
            let status = EscalationStatus::try_from(word.to_owned())?;
            if statuses.contains(&status) {
                return Err(format!("contains {word} twice"));
            }
            statuses.push(status);
        }
        Ok(Self(statuses))
    }
}

impl From<StatusList> for Vec<EscalationStatus> {
    fn from(list: StatusList) -> Self {
        list.0
    }
}

/// Name of a tool, in the form that a registration accepts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct ToolName(String);

impl TryFrom<String> for ToolName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let sound = (1..=128).contains(&name.len()) && name.bytes().all(is_plain);
        sound.then_some(Self(name)).ok_or("must have 1 to 128 letters, digits, dots, hyphens and underscores")
    }
}

/// The query parameters of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ListQuery {
    status: Option<StatusList>,
    agent_id: Option<AgentId>,
    tool: Option<ToolName>,
    risk: Option<Risk>,
    session_id: Option<StrictUuid>,
    claimed_by: Option<ClaimedBy>,
    decidable: Option<Decidable>,
    sort: Option<Sort>,
    limit: Option<PageSize>,
    cursor: Option<String>,
}

/// Position in the list, and its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EscalationCursor {
    #[serde(skip)]
    sort: Sort,
    #[serde(flatten)]
    after: TimeCursor,
}

impl Cursor for EscalationCursor {
    fn to_text(&self) -> String {
        format!("{}.{}", self.sort.as_str(), self.after.to_text())
    }

    fn from_text(text: String) -> Option<Self> {
        let (sort, after) = text.split_once('.')?;
        let sort = Sort::try_from(sort.to_owned()).ok()?;
        Some(Self { sort, after: TimeCursor::from_text(after.to_owned())? })
    }
}

/// The escalations that are listed. Serialises to arguments of the RPC function.
#[derive(Debug, Serialize)]
pub struct EscalationFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    p_status: Option<StatusList>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_agent_id: Option<AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_tool: Option<ToolName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_risk: Option<Risk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_session_id: Option<Uuid>,
    p_claimed_by_me: bool,
    p_decidable: bool,
    p_sort: Sort,
    #[serde(flatten)]
    page: PageRequest<EscalationCursor>,
}

impl ListQuery {
    /// Checks the parameters together.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`](crate::error::ErrorCode::InvalidRequest) if closed escalations
    /// are sorted by expiry, and for a cursor of another order.
    pub fn into_filter(self) -> Result<EscalationFilter, Error> {
        let sort = self.sort.unwrap_or(Sort::Waiting);
        let is_open = |list: &StatusList| list.0 == [EscalationStatus::Open];
        if sort == Sort::Expiry && !self.status.as_ref().is_none_or(is_open) {
            let detail = "must not be expiry with a status other than open";
            return Err(Error::invalid(vec![FieldError::at("sort", detail)]));
        }
        let cursor = self.cursor.as_deref();
        if cursor.map(EscalationCursor::decode).transpose()?.is_some_and(|cursor| cursor.sort != sort) {
            return Err(Error::invalid(vec![FieldError::at("cursor", "is of a list with another sort")]));
        }
        Ok(EscalationFilter {
            p_status: self.status,
            p_agent_id: self.agent_id,
            p_tool: self.tool,
            p_risk: self.risk,
            p_session_id: self.session_id.map(|StrictUuid(id)| id),
            p_claimed_by_me: self.claimed_by.is_some(),
            p_decidable: self.decidable.is_some(),
            p_sort: sort,
            page: PageRequest::new(self.limit.unwrap_or_default(), cursor)?,
        })
    }
}

impl Rpc for EscalationFilter {
    const NAME: &'static str = "list_escalations";
    type Output = EscalationRows;
}

#[derive(Deserialize)]
pub struct EscalationRows {
    rows: Vec<Escalation>,
    next: Option<NextPosition>,
}

#[derive(Deserialize)]
struct NextPosition {
    at: Timestamp,
    id: Uuid,
}

/// Lists the escalations that the caller may see and that meet the filter.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    rules: &DecisionRules,
    filter: &EscalationFilter,
) -> Result<Page<Escalation>, Error> {
    let assurance = &context.caller.assurance;
    if filter.p_decidable && rules.check(assurance).is_err() {
        return Ok(Page { rows: Vec::new(), next_cursor: None });
    }
    let EscalationRows { mut rows, next } =
        user_client.rpc(filter, &context.caller.token, context.deadline).await?;
    for escalation in &mut rows {
        escalation.may_decide.restrict(rules, assurance);
    }
    let cursor = |NextPosition { at, id }| {
        EscalationCursor { sort: filter.p_sort, after: TimeCursor { at, id } }.encode()
    };
    Ok(Page { rows, next_cursor: next.map(cursor) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ErrorCode, platform::parse};

    fn filter(query: &str) -> Result<serde_json::Value, Error> {
        let query: ListQuery = parse::query(query)?;
        query.into_filter().map(|filter| serde_json::to_value(filter).unwrap_or_default())
    }

    #[test]
    fn query_becomes_arguments_of_the_rpc() {
        let expected = serde_json::json!({
            "p_status": ["resolved", "expired"], "p_tool": "pay", "p_risk": "high",
            "p_claimed_by_me": true, "p_decidable": false, "p_sort": "newest", "p_limit": 7,
        });
        let query = "status=resolved,expired&tool=pay&risk=high&claimedBy=me&sort=newest&limit=7";
        assert_eq!(filter(query).unwrap(), expected);
    }

    #[test]
    fn invalid_combinations_are_rejected() {
        for (query, code) in [
            ("status=", ErrorCode::InvalidRequest),
            ("status=open,open", ErrorCode::InvalidRequest),
            ("status=open,closed", ErrorCode::InvalidRequest),
            ("decidable=false", ErrorCode::InvalidRequest),
            ("claimedBy=you", ErrorCode::InvalidRequest),
            ("tool=a%20b", ErrorCode::InvalidRequest),
            ("sessionId=7", ErrorCode::InvalidRequest),
            ("sort=expiry&status=expired", ErrorCode::InvalidRequest),
            ("cursor=AAAA", ErrorCode::MalformedCursor),
        ] {
            assert_eq!(filter(query).unwrap_err().code, code, "{query}");
        }
        assert!(filter("sort=expiry&status=open").is_ok());
    }

    #[test]
    fn cursor_belongs_to_one_order() {
        let after = TimeCursor {
            at: Timestamp::parse("2026-11-22T10:00:00.123456Z").unwrap(),
            id: Uuid::from_u128(7),
        };
        let cursor = EscalationCursor { sort: Sort::Newest, after };
        assert_eq!(EscalationCursor::decode(&cursor.encode()).unwrap(), cursor);
        let query = |sort| format!("sort={sort}&cursor={}", cursor.encode());
        assert_eq!(filter(&query("newest")).unwrap()["p_after_id"], after.id.to_string());
        assert_eq!(filter(&query("waiting")).unwrap_err().code, ErrorCode::InvalidRequest);
    }
}
