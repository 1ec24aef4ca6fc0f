//! Reads the model's streams, one for each response of a turn.

use std::pin::Pin;

use serde_json::Value;

use crate::{
    clients::model::{ModelCause, ModelClient, ModelError, ModelEvent, ModelRequest, ModelStream, Reasoning},
    domain::chat::{
        SystemSource,
        history::{HistoryOptions, ModelInput, StoredItem, model_input},
        store::{BegunRun, ModelSettings},
        turn::Turn,
    },
    platform::http_client::Deadline,
};

/// Opens the model's streams and reads them, one for each response of the turn. If the input is too
/// long for the model, half of it is sent once for a response, before its first token.
pub(super) struct ModelReader<'a> {
    model: &'a ModelClient,
    run: &'a BegunRun,
    /// Of the agent that answers now.
    pub settings: ModelSettings,
    pub history: Vec<StoredItem>,
    /// Tools that the model may call, in the form of a request.
    pub functions: Vec<Value>,
    deadline: Deadline,
    input: ModelInput,
    /// Size of the inputs whose tokens the server counted.
    pub input_bytes: u64,
    is_halved: bool,
    state: State,
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<ModelStream, ModelError>> + Send>>),
    Reading(Box<ModelStream>),
}

impl<'a> ModelReader<'a> {
    pub fn new(model: &'a ModelClient, run: &'a BegunRun, functions: Vec<Value>, deadline: Deadline) -> Self {
        let history: Vec<_> = run.history.items.iter().cloned().map(StoredItem::from_json).collect();
        let settings = run.setup.settings.clone();
        let input = build_input(run, &settings, &history, &functions, settings.max_input_tokens.into());
        let state = open(model, run, &settings, &input, &functions, deadline);
        Self {
            model,
            run,
            settings,
            history,
            functions,
            deadline,
            input,
            input_bytes: 0,
            is_halved: false,
            state,
        }
    }

    /// Requests the next response of the turn, with what was added to the history.
    pub fn ask_again(&mut self, may_call: bool) {
        if !may_call {
            self.functions.clear();
        }
        self.is_halved = false;
        self.request(self.settings.max_input_tokens.into());
    }

    fn request(&mut self, max_input_tokens: u64) {
        let settings = &self.settings;
        self.input = build_input(self.run, settings, &self.history, &self.functions, max_input_tokens);
        self.state = open(self.model, self.run, settings, &self.input, &self.functions, self.deadline);
    }

    /// Counts the size of the input if the model has counted its tokens.
    pub fn count_bytes(&mut self, turn: &Turn<SystemSource>) {
        if turn.response_usage().is_some() {
            self.input_bytes += self.input.bytes;
        }
    }

    /// Returns the next event. Cancel safe.
    pub async fn next(&mut self, turn: &Turn<SystemSource>) -> Result<ModelEvent, ModelError> {
        loop {
            let error = match &mut self.state {
                State::Opening(opening) => match opening.await {
                    Ok(stream) => {
                        self.state = State::Reading(Box::new(stream));
                        continue;
                    }
                    Err(error) => error,
                },
                State::Reading(stream) => match stream.next().await? {
                    Some(event) if event.failure() != Some(ModelCause::InputTooLong) => return Ok(event),
                    Some(event) if self.is_halved || turn.has_begun() => return Ok(event),
                    Some(_) => ModelError::in_stream(ModelCause::InputTooLong, None),
                    None => return Err(ModelError::in_stream(ModelCause::Cut, None)),
                },
            };
            if self.is_halved || error.cause != ModelCause::InputTooLong {
                return Err(error);
            }
            self.is_halved = true;
            self.request(self.input.estimated_tokens / 2);
        }
    }
}

fn build_input(
    run: &BegunRun,
    settings: &ModelSettings,
    history: &[StoredItem],
    functions: &[Value],
    max_input_tokens: u64,
) -> ModelInput {
    let function_bytes: usize = functions.iter().map(|function| function.to_string().len()).sum();
    let options = HistoryOptions {
        model: &settings.model,
        max_input_tokens,
        last_input: run.last_input.map(Into::into),
        fixed_bytes: (settings.instructions.len() + function_bytes) as u64,
        has_earlier_items: !run.history.complete,
    };
    model_input(history, &options)
}

fn open(
    model: &ModelClient,
    run: &BegunRun,
    settings: &ModelSettings,
    input: &ModelInput,
    functions: &[Value],
    deadline: Deadline,
) -> State {
    let instructions = Some(settings.instructions.clone()).filter(|text| !text.is_empty());
    let request = ModelRequest {
        model: settings.model.clone(),
        instructions,
        input: input.items.clone(),
        tools: functions.to_vec(),
        reasoning: settings.reasoning_effort.map(|effort| Reasoning { effort }),
        max_output_tokens: Some(settings.max_output_tokens),
        safety_identifier: Some(run.user.simple().to_string()),
    };
    let model = model.clone();
    State::Opening(Box::pin(async move { model.stream(&request, deadline).await }))
}
