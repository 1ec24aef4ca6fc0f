//! The fake's state, and the choice of an answer.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use uuid::Uuid;

use super::conversation::StoredItems;
use super::error::ApiError;
use super::fault::Faults;
use super::parameters::NewResponse;
use super::quirk::{self, Quirk, Quirks};
use super::render::{Answer, EarlyEnd, render};
use super::request::{Request, last_user_text};
use super::request_log::RecordedRequest;
use super::response;
use super::script::Script;
use super::settings::Settings;

/// Returns the answer to a request's body.
pub(super) type Rule = Arc<dyn Fn(&Value) -> Script + Send + Sync>;

/// Behind one lock, so that each request is atomic.
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) scripts: VecDeque<Script>,
    pub(super) rule: Rule,
    pub(super) quirks: Quirks,
    pub(super) faults: Faults,
    pub(super) request_log: Vec<RecordedRequest>,
    /// The items of each stored response: its context and its output.
    pub(super) stored_responses: HashMap<String, Vec<Value>>,
    pub(super) stored_items: StoredItems,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            scripts: VecDeque::new(),
            rule: Arc::new(echo),
            quirks: Quirks::new(),
            faults: Faults::default(),
            request_log: Vec::new(),
            stored_responses: HashMap::new(),
            stored_items: StoredItems::new(),
        }
    }

    /// Validates the request and returns its answer, with the parsed request.
    pub(super) fn answer(
        &mut self,
        request: &Request,
        early: Option<EarlyEnd>,
    ) -> Result<(NewResponse, Answer), ApiError> {
        request.check(&self.settings.api_key)?;
        let body = request.json()?;
        if self.quirks.contains(&Quirk::Stateless) {
            check_stateless(&body)?;
        }
        let new = NewResponse::parse(&body, self)?;
        let user_text = last_user_text(&body);
        let script = match self.scripts.iter().position(|script| script.applies_to(&user_text)) {
            Some(place) => self.scripts.remove(place).unwrap_or_default(),
            None => (self.rule)(&body),
        };
        let model = self.settings.models.iter().find(|model| body["model"] == model.id.as_str());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = format!("resp_{}", Uuid::new_v4().simple());
        let response = match model {
            Some(model) => response::begin(&new, model, &id, now),
            None => Default::default(),
        };
        let mut answer = render(&new, response, &script, early);
        if new.store {
            self.store(&id, &new, &answer.response);
        }
        quirk::apply(&self.quirks, &mut answer);
        Ok((new, answer))
    }

    fn store(&mut self, id: &str, new: &NewResponse, response: &Value) {
        if !matches!(response["status"].as_str(), Some("completed" | "incomplete")) {
            return;
        }
        let output = response["output"].as_array().cloned().unwrap_or_default();
        let mut reasoning = None;
        for item in &output {
            let item_id = item["id"].as_str().unwrap_or_default().to_owned();
            let is_reasoning = item["type"] == "reasoning";
            self.stored_items.insert(item_id.clone(), reasoning.take());
            reasoning = is_reasoning.then_some(item_id);
        }
        self.stored_responses.insert(id.to_owned(), new.context.iter().cloned().chain(output).collect());
    }

    /// Updates a recorded request, unless it was cleared meanwhile.
    pub(super) fn update_request(&mut self, request_id: &str, update: impl FnOnce(&mut RecordedRequest)) {
        if let Some(request) = self.request_log.iter_mut().rev().find(|r| r.request_id == request_id) {
            update(request);
        }
    }
}

/// The default answer: it depends only on the last user message.
fn echo(body: &Value) -> Script {
    Script::new().text(&format!("You wrote: {}", last_user_text(body)))
}

/// A server without state, for example OpenRouter.
fn check_stateless(body: &Value) -> Result<(), ApiError> {
    let param = match (&body["store"], &body["previous_response_id"]) {
        (Value::Bool(true), _) => "store",
        (_, Value::String(_)) => "previous_response_id",
        _ => return Ok(()),
    };
    let message = format!("Invalid value for '{param}': this server does not store responses.");
    Err(ApiError::parameter(param, "invalid_value", message))
}
