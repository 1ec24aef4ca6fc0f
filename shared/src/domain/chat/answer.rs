//! Answers a question: asks the model, streams its answer, and ends the run.

mod tools;

use std::{pin::Pin, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, OptionFuture},
};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

use super::{
    IdPrefix, SystemSource,
    history::{HistoryOptions, ModelInput, StoredItem, model_input},
    new_id,
    offered_tools::offered_tools,
    protocol::{StreamOptions, ThreadItem, ThreadStreamEvent},
    recorder::Recorder,
    store::{Appended, BegunRun, ChatStore, ModelSettings, RunStatus},
    tools::{CallResult, ToolCaller},
    turn::{CallEnd, NextModel, Turn, TurnEnd, TurnOutput, mark_content},
};
use crate::{
    clients::{
        mcp,
        model::{
            ModelCause, ModelClient, ModelError, ModelEvent, ModelRequest, ModelStream, Reasoning, Usage,
        },
    },
    error::Error,
    platform::{event_stream::EventSender, http_client::Deadline, parse::Timestamp, telemetry},
};
use tools::next_model;

/// Interval between two saves of a running answer. Each save also learns whether the answer must
/// stop.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Time reserved for ending the run.
const FINISH_RESERVE: Duration = Duration::from_secs(15);

/// The parts that answer a question: the model, and the agents whose tools it may call.
#[derive(Clone)]
pub(super) struct Answerer {
    pub model: ModelClient,
    pub agents: mcp::Client,
}

impl Answerer {
    /// Streams the answer of a run that has begun, and ends the run. A call of a tool that is under
    /// way at the end is finished and recorded before this function returns.
    ///
    /// # Errors
    /// Fails if the run cannot be saved. An error of the model ends the answer with an error event,
    /// and is not an error of the stream.
    pub async fn stream(
        &self,
        store: ChatStore,
        run: BegunRun,
        sender: EventSender,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let turn_time = Duration::from_secs(run.setup.settings.max_turn_seconds.into());
        let deadline = deadline.minus(FINISH_RESERVE).capped(turn_time);
        let mut recorder = Recorder::new(store.clone(), run.run_id, sender);
        for item_id in &run.removed_item_ids {
            recorder.send(ThreadStreamEvent::ItemRemoved { item_id: item_id.clone() })?;
        }
        recorder.send(ThreadStreamEvent::StreamOptions {
            stream_options: StreamOptions { allow_cancel: true },
        })?;
        for item in &run.kept_items {
            recorder.send(ThreadStreamEvent::ItemDone { item: item.clone() })?;
        }

        let caller = ToolCaller {
            agents: self.agents.clone(),
            store,
            run_id: run.run_id,
            thread_id: run.thread.id.clone(),
            tools: offered_tools(&run.setup).into(),
        };
        let NextModel { model, offers_tools, client_tools } = next_model(&run.setup);
        let mut writing = Writing {
            turn: Turn::new(&run.thread.id, model, SystemSource)
                .with_tools(offers_tools)
                .with_client_tools(client_tools)
                .with_max_calls(usize::try_from(run.setup.settings.max_tool_calls).unwrap_or(usize::MAX)),
            mark: interruption_mark(&run.thread.id),
            reader: ModelReader::new(&self.model, &run, caller.functions(), deadline),
            recorder,
            caller,
            call: None,
            failure: None,
            deadline,
        };
        let end = writing.write().await?;
        let Writing { mut turn, mut recorder, reader, call, failure, .. } = writing;
        let input_bytes = reader.input_bytes;
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
        let status = run_status(end, turn.has_answer());
        let finished = recorder.finish(status, turn.usage(), input_bytes, error_code(end)).await;
        if let Some(Err(error)) = OptionFuture::from(call).await {
            tracing::warn!(%error, "a call of a tool did not begin");
        }
        finished
    }
}

type Call = BoxFuture<'static, Result<CallResult, Error>>;

/// An answer that is being written.
struct Writing<'a> {
    turn: Turn<SystemSource>,
    /// Marks the answer if this process stops.
    mark: ThreadItem,
    reader: ModelReader<'a>,
    recorder: Recorder,
    caller: ToolCaller,
    /// The call of a tool that is under way.
    call: Option<Call>,
    /// Why the model's stream broke off, for the log.
    failure: Option<String>,
    deadline: Deadline,
}

impl Writing<'_> {
    /// Writes the answer to its end. Saves it once a second, also while a tool is called.
    async fn write(&mut self) -> Result<TurnEnd, Error> {
        let mut ticks = tokio::time::interval_at(Instant::now() + SAVE_INTERVAL, SAVE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let end = tokio::select! {
                biased;
                stop = self.recorder.saved(), if self.recorder.is_saving() => {
                    stop?.stop.then_some(TurnEnd::Stopped)
                }
                _ = ticks.tick(), if !self.recorder.is_saving() => {
                    let draft = self.draft();
                    self.recorder.save(&draft)?;
                    None
                }
                () = tokio::time::sleep(self.deadline.remaining()) => Some(TurnEnd::DeadlineReached),
                result = under_way(&mut self.call), if self.call.is_some() => {
                    self.call = None;
                    self.call_ended(result?).await?
                }
                event = self.reader.next(&self.turn), if self.call.is_none() => match event {
                    Ok(event) => self.received(event).await?,
                    Err(error) => {
                        self.failure = Some(error.to_string());
                        Some(TurnEnd::from_error(&error))
                    }
                },
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    fn draft(&mut self) -> Vec<ThreadItem> {
        let mut draft = self.turn.draft();
        draft.push(self.mark.clone());
        draft
    }

    /// Takes what the turn yields. The outputs at its end are sent when the run is finished.
    fn take(&mut self, outputs: Vec<TurnOutput>) -> Result<(), Error> {
        let is_end = self.turn.ended().is_some();
        for output in outputs {
            self.reader.history.extend(output.to_stored());
            if is_end {
                self.recorder.hold(output)?;
            } else {
                self.recorder.push(output)?;
            }
        }
        Ok(())
    }

    async fn received(&mut self, event: ModelEvent) -> Result<Option<TurnEnd>, Error> {
        let outputs = self.turn.on_event(event);
        self.take(outputs)?;
        if self.turn.waits_for_calls() {
            return self.proceed().await;
        }
        if self.turn.ended().is_some() {
            self.reader.count_bytes(&self.turn);
        }
        Ok(self.turn.ended())
    }

    /// Begins the next call, or asks the model to continue. Everything before a call is stored
    /// first, so that the thread has its items in their order, whatever happens.
    async fn proceed(&mut self) -> Result<Option<TurnEnd>, Error> {
        if self.end_with_client_call()? {
            return Ok(self.turn.ended());
        }
        if let Some((requested, outputs)) = self.turn.begin_call() {
            self.take(outputs)?;
            let draft = self.draft();
            let Appended { stop, has_tokens, .. } =
                self.recorder.flush(&draft, self.turn.usage().map(total_tokens)).await?;
            let end = match (stop, has_tokens) {
                (true, _) => TurnEnd::Stopped,
                (false, false) => TurnEnd::TokensUsedUp,
                (false, true) => {
                    self.call = Some(self.caller.clone().call(requested, self.deadline).boxed());
                    return Ok(None);
                }
            };
            let outputs = self.turn.end_call(CallEnd::NotMade, Vec::new());
            self.take(outputs)?;
            return Ok(Some(end));
        }
        self.reader.count_bytes(&self.turn);
        let outputs = self.turn.begin_response();
        self.take(outputs)?;
        self.reader.ask_again(self.turn.may_call());
        Ok(None)
    }
}

fn total_tokens(usage: Usage) -> u64 {
    usage.input_tokens + usage.output_tokens
}

/// Waits for a call. Never resolves without one.
async fn under_way(call: &mut Option<Call>) -> Result<CallResult, Error> {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
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
        TurnEnd::ClientCall | TurnEnd::HandedOver => RunStatus::Completed,
        TurnEnd::Incomplete(_) | TurnEnd::TooManyCalls | TurnEnd::TokensUsedUp => RunStatus::Incomplete,
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
        TurnEnd::TokensUsedUp => Some("tokens_used_up"),
        TurnEnd::Completed
        | TurnEnd::Incomplete(_)
        | TurnEnd::Stopped
        | TurnEnd::TooManyCalls
        | TurnEnd::ClientCall
        | TurnEnd::HandedOver => None,
    }
}

/// Opens the model's streams and reads them, one for each response of the turn. If the input is too
/// long for the model, half of it is sent once for a response, before its first token.
struct ModelReader<'a> {
    model: &'a ModelClient,
    run: &'a BegunRun,
    /// Of the agent that answers now.
    settings: ModelSettings,
    history: Vec<StoredItem>,
    /// Tools that the model may call, in the form of a request.
    functions: Vec<Value>,
    deadline: Deadline,
    input: ModelInput,
    /// Size of the inputs whose tokens the server counted.
    input_bytes: u64,
    is_halved: bool,
    state: State,
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<ModelStream, ModelError>> + Send>>),
    Reading(Box<ModelStream>),
}

impl<'a> ModelReader<'a> {
    fn new(model: &'a ModelClient, run: &'a BegunRun, functions: Vec<Value>, deadline: Deadline) -> Self {
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
    fn ask_again(&mut self, may_call: bool) {
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
    fn count_bytes(&mut self, turn: &Turn<SystemSource>) {
        if turn.response_usage().is_some() {
            self.input_bytes += self.input.bytes;
        }
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
