//! Implements rmcp's server side for an agent.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, InputRequest,
    InputRequiredResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value, json};

use super::TOOL;
use super::behaviour::{APPROVAL_LIMIT, Behaviour, subject};
use super::http::{FAULT_HEADER, Shared};
use super::revision::Revision;

/// The request state of an `input_required` result, which the client has to return.
const STATE: &str = "st.ate of \"the\" question ü";
const QUESTION: &str = "approval";

#[derive(Clone)]
pub(super) struct Handler {
    pub(super) behaviour: Behaviour,
    pub(super) revision: Revision,
    pub(super) shared: Arc<Shared>,
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.server_info = Implementation::new(self.behaviour.id(), "1.0.0");
        if let Some(version) = self.revision.versions().first() {
            info.protocol_version = version.clone();
        }
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(self.revision.versions())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema: Map<String, Value> = [
            ("type".to_owned(), json!("object")),
            ("required".to_owned(), json!(["session", "event", "idempotencyKey"])),
        ]
        .into_iter()
        .collect();
        let schema = Arc::new(schema);
        let added = self.shared.lock().tools.clone();
        let names = [TOOL].into_iter().chain(added);
        let tools = names.map(|name| Tool::new(name, "Handles an event of a session.", schema.clone()));
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let prescribed = context.extensions.get::<Parts>().and_then(|parts| parts.headers.get(FAULT_HEADER));
        let prescribed = prescribed.and_then(|place| place.to_str().ok()?.parse().ok());
        if let Some(prescribed) = prescribed.and_then(|place| self.shared.lock().faults.result(place)) {
            return answer(&prescribed);
        }
        let mut state = self.shared.lock();
        if request.name != TOOL && !state.tools.iter().any(|name| *name == request.name) {
            return Err(ErrorData::invalid_params("no such tool", None));
        }
        let mut arguments = Value::Object(request.arguments.unwrap_or_default());
        if state.asks_by_protocol && subject(&arguments).1 > APPROVAL_LIMIT {
            let Some(responses) = request.input_responses else { return question() };
            if request.request_state.as_deref() != Some(STATE) {
                return Err(ErrorData::invalid_params("unknown request state", None));
            }
            let accepted = responses.get(QUESTION).is_some_and(|response| response["action"] == "accept");
            arguments["decision"] = json!({"decision": if accepted { "approve" } else { "reject" }});
        }
        let structured = self.behaviour.answer(&mut state, &arguments);
        Ok(CallToolResult::structured(structured).into())
    }
}

/// Parses a prescribed result: a tool result, or a request for input.
fn answer(prescribed: &Value) -> Result<CallToolResponse, ErrorData> {
    let wrong = |error: serde_json::Error| ErrorData::internal_error(error.to_string(), None);
    if prescribed["resultType"] == "input_required" {
        let result: InputRequiredResult = serde_json::from_value(prescribed.clone()).map_err(wrong)?;
        return Ok(result.into());
    }
    let result: CallToolResult = serde_json::from_value(prescribed.clone()).map_err(wrong)?;
    Ok(result.into())
}

fn question() -> Result<CallToolResponse, ErrorData> {
    let schema = json!({"type": "object", "properties": {"costCentre": {"type": "string"}}, "required": ["costCentre"]});
    let request = json!({"method": "elicitation/create", "params": {"mode": "form", "message": "Which cost centre pays?", "requestedSchema": schema}});
    let request: InputRequest = serde_json::from_value(request)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let requests = BTreeMap::from([(QUESTION.to_owned(), request)]);
    Ok(InputRequiredResult::new(Some(requests), Some(STATE.to_owned())).into())
}
