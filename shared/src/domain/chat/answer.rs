//! Answers a question: asks the model, streams its answer, and ends the run.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, MissedTickBehavior};

use super::{
    IdPrefix, SystemSource,
    history::{HistoryOptions, ModelInput, StoredItem, model_input},
    new_id,
    protocol::{StreamOptions, ThreadItem, ThreadStreamEvent},
    recorder::Recorder,
    store::{BegunRun, ChatStore, RunStatus},
    turn::{Turn, TurnEnd, mark_content},
};
use crate::{
    clients::model::{ModelCause, ModelClient, ModelError, ModelEvent, ModelRequest, ModelStream, Reasoning},
    error::Error,
    platform::{event_stream::EventSender, http_client::Deadline, parse::Timestamp, telemetry},
};

/// How often a running answer is saved. Each save also learns whether the answer must stop.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Time reserved for ending the run.
const FINISH_RESERVE: Duration = Duration::from_secs(15);

/// Streams the answer of a run that has begun, and ends the run.
///
/// # Errors
/// Fails if the run cannot be saved. An error of the model ends the answer with an error event, and
/// is not an error of the stream.
pub async fn stream_answer(
    model: &ModelClient,
    store: ChatStore,
    run: BegunRun,
    sender: EventSender,
    deadline: Deadline,
) -> Result<(), Error> {
    let turn_time = Duration::from_secs(run.settings.max_turn_seconds.into());
    let deadline = deadline.minus(FINISH_RESERVE).capped(turn_time);
    let mut recorder = Recorder::new(store, run.run_id, sender);
    for item_id in &run.removed_item_ids {
        recorder.send(ThreadStreamEvent::ItemRemoved { item_id: item_id.clone() })?;
    }
    recorder
        .send(ThreadStreamEvent::StreamOptions { stream_options: StreamOptions { allow_cancel: true } })?;

    let mut turn = Turn::new(&run.thread.id, &run.settings.model, SystemSource);
    let mark = interruption_mark(&run.thread.id);
    let mut reader = ModelReader::new(model, &run, deadline);
    let mut ticks = tokio::time::interval_at(Instant::now() + SAVE_INTERVAL, SAVE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failure = None;
    let end = loop {
        tokio::select! {
            biased;
            stop = recorder.saved(), if recorder.is_saving() => {
                if stop? {
                    break TurnEnd::Stopped;
                }
            }
            _ = ticks.tick(), if !recorder.is_saving() => {
                let mut draft = turn.draft();
                draft.push(mark.clone());
                recorder.save(&draft)?;
            }
            () = tokio::time::sleep(deadline.remaining()) => break TurnEnd::DeadlineReached,
            event = reader.next(&turn) => match event {
                Ok(event) => {
                    for output in turn.on_event(event) {
                        if turn.ended().is_some() {
                            recorder.hold(output)?;
                        } else {
                            recorder.push(output)?;
                        }
                    }
                    if let Some(end) = turn.ended() {
                        break end;
                    }
                }
                Err(error) => {
                    let end = TurnEnd::from_error(&error);
                    failure = Some(error.to_string());
                    break end;
                }
            },
        }
    };
    let input_bytes = reader.input.bytes;
    // Closes the connection, which makes the model's server stop.
    drop(reader);
    if let Some(code) = error_code(end) {
        tracing::warn!(code, cause = failure, "the model's answer broke off");
    }
    if end == TurnEnd::Stopped {
        telemetry::record_stopped_response();
    }
    for output in turn.end(end) {
        recorder.hold(output)?;
    }
    recorder.finish(run_status(end, turn.has_answer()), turn.usage(), input_bytes, error_code(end)).await
}

/// Returns the item that the thread gets if the process stops before the end of the answer.
pub(super) fn interruption_mark(thread_id: &str) -> ThreadItem {
    ThreadItem {
        id: new_id(IdPrefix::Task, &mut SystemSource),
        thread_id: thread_id.to_owned(),
        created_at: Timestamp::now(),
        content: mark_content("The answer was interrupted."),
    }
}

fn run_status(end: TurnEnd, has_answer: bool) -> RunStatus {
    match end {
        TurnEnd::Completed if has_answer => RunStatus::Completed,
        TurnEnd::Incomplete(_) => RunStatus::Incomplete,
        TurnEnd::Stopped => RunStatus::Stopped,
        TurnEnd::Completed | TurnEnd::Failed(_) | TurnEnd::Cut | TurnEnd::DeadlineReached => {
            RunStatus::Failed
        }
    }
}

/// Returns the code that the run records for an operator.
fn error_code(end: TurnEnd) -> Option<&'static str> {
    match end {
        TurnEnd::Failed(cause) => Some(cause.meaning().code.map_or("model_bad_answer", |code| code.as_str())),
        TurnEnd::Cut => Some("model_unavailable"),
        TurnEnd::DeadlineReached => Some("model_timeout"),
        TurnEnd::Completed | TurnEnd::Incomplete(_) | TurnEnd::Stopped => None,
    }
}

/// Opens the model's stream and reads it. If the input is too long for the model, half of it is sent
/// once, before the first token.
struct ModelReader<'a> {
    model: &'a ModelClient,
    run: &'a BegunRun,
    history: Vec<StoredItem>,
    deadline: Deadline,
    input: ModelInput,
    is_halved: bool,
    state: State,
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<ModelStream, ModelError>> + Send>>),
    Reading(Box<ModelStream>),
}

impl<'a> ModelReader<'a> {
    fn new(model: &'a ModelClient, run: &'a BegunRun, deadline: Deadline) -> Self {
        let stored = run.history.items.iter().map(|item| StoredItem {
            kind: item["type"].as_str().unwrap_or_default().to_owned(),
            item: item.clone(),
        });
        let history: Vec<_> = stored.collect();
        let input = build_input(run, &history, run.settings.max_input_tokens.into());
        let state = open(model, run, &input, deadline);
        Self { model, run, history, deadline, input, is_halved: false, state }
    }

    /// Returns the next event. Cancel safe.
    async fn next(&mut self, turn: &Turn<SystemSource>) -> Result<ModelEvent, ModelError> {
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
            self.input = build_input(self.run, &self.history, self.input.estimated_tokens / 2);
            self.state = open(self.model, self.run, &self.input, self.deadline);
        }
    }
}

fn build_input(run: &BegunRun, history: &[StoredItem], max_input_tokens: u64) -> ModelInput {
    let options = HistoryOptions {
        model: &run.settings.model,
        max_input_tokens,
        last_input: run.last_input.map(Into::into),
        fixed_bytes: run.settings.instructions.len() as u64,
        has_earlier_items: !run.history.complete,
    };
    model_input(history, &options)
}

fn open(model: &ModelClient, run: &BegunRun, input: &ModelInput, deadline: Deadline) -> State {
    let settings = &run.settings;
    let instructions = Some(settings.instructions.clone()).filter(|text| !text.is_empty());
    let request = ModelRequest {
        model: settings.model.clone(),
        instructions,
        input: input.items.clone(),
        tools: Vec::new(),
        reasoning: settings.reasoning_effort.map(|effort| Reasoning { effort }),
        max_output_tokens: Some(settings.max_output_tokens),
        safety_identifier: Some(run.user.simple().to_string()),
    };
    let model = model.clone();
    State::Opening(Box::pin(async move { model.stream(&request, deadline).await }))
}
