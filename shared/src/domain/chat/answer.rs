//! Answers a question: asks the model, streams its answer, and ends the run.

mod model_reader;
mod tools;

use std::time::Duration;

use futures_util::{
    FutureExt,
    future::{BoxFuture, OptionFuture},
};
use tokio::time::{Instant, MissedTickBehavior};

use super::{
    IdPrefix, SystemSource, new_id,
    offered_tools::offered_tools,
    protocol::{StreamOptions, ThreadItem, ThreadStreamEvent},
    recorder::Recorder,
    store::{Appended, BegunRun, ChatStore, RunStatus},
    tools::{CallResult, ToolCaller},
    turn::{CallEnd, NextModel, Turn, TurnEnd, TurnOutput, mark_content},
};
use crate::{
    clients::{
        mcp,
        model::{ModelClient, ModelEvent, Usage},
    },
    error::Error,
    platform::{event_stream::EventSender, http_client::Deadline, parse::Timestamp, telemetry},
};
use model_reader::ModelReader;
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
