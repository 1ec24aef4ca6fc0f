//! The end of a call, and who continues the answer: the same model, another agent, or the page.

use super::Writing;
use crate::{
    domain::chat::{
        history::StoredItem,
        offered_tools::{client_tools, offered_tools},
        store::{ModelSetup, NextAgent},
        tools::CallResult,
        turn::{NextModel, TurnEnd},
    },
    error::Error,
};

impl Writing<'_> {
    pub async fn call_ended(&mut self, result: CallResult) -> Result<Option<TurnEnd>, Error> {
        let CallResult::Ended { end, stored, unstored, items, next_agent } = result else {
            return Ok(Some(TurnEnd::Stopped));
        };
        self.reader.history.extend(stored);
        self.take(unstored)?;
        let outputs = self.turn.end_call(end, items);
        self.take(outputs)?;
        match next_agent {
            Some(agent) => self.hand_over(*agent).await,
            None => self.proceed().await,
        }
    }

    /// Continues the answer with another agent: its instructions, its model and its tools. The time
    /// limit stays that of the agent that was asked.
    async fn hand_over(&mut self, agent: NextAgent) -> Result<Option<TurnEnd>, Error> {
        let name = agent.display_name.clone();
        let next = agent.into_setup();
        let outputs = self.turn.hand_over(&name, next.as_ref().map(|(_, setup)| next_model(setup)));
        self.take(outputs)?;
        let Some((note, setup)) = next else {
            self.reader.count_bytes(&self.turn);
            return Ok(self.turn.ended());
        };
        self.reader.history.extend(note.map(StoredItem::from_json));
        self.caller.tools = offered_tools(&setup).into();
        self.reader.functions = self.caller.functions();
        self.reader.settings = setup.settings;
        self.proceed().await
    }

    /// Ends the answer with the next call, if its tool runs in the page. A call with invalid inputs
    /// is refused like any other. Returns whether the answer has ended.
    pub fn end_with_client_call(&mut self) -> Result<bool, Error> {
        let inputs = self.turn.next_client_call().map(|call| self.caller.inputs(call));
        let Some(Ok(arguments)) = inputs else { return Ok(false) };
        self.reader.count_bytes(&self.turn);
        let outputs = self.turn.end_with_client_call(arguments);
        self.take(outputs)?;
        Ok(true)
    }
}

/// Returns what a turn has to know about the model that continues it.
pub fn next_model(setup: &ModelSetup) -> NextModel {
    NextModel {
        model: setup.settings.model.clone(),
        offers_tools: !offered_tools(setup).is_empty(),
        client_tools: client_tools(setup).map(|tool| tool.name.clone()).collect(),
    }
}
