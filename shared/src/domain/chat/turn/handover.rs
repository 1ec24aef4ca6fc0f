//! Handover of a running answer to another agent.

use super::{Turn, TurnEnd, TurnOutput};
use crate::domain::chat::{
    IdPrefix, ItemSource,
    protocol::{ChatTask, ItemContent, NoticeLevel, StatusIndicator, TaskKind, ThreadStreamEvent},
};

/// The model that continues an answer.
#[derive(Clone, Debug)]
pub struct NextModel {
    pub model: String,
    pub offers_tools: bool,
    pub client_tools: Vec<String>,
}

impl<S: ItemSource> Turn<S> {
    /// Continues the turn with the model of another agent, after the call that is done. The calls
    /// that the previous model has requested besides are not made. Without a model the other agent
    /// is hosted, so the turn ends with a notice.
    pub fn hand_over(&mut self, agent: &str, next: Option<NextModel>) -> Vec<TurnOutput> {
        let kind = TaskKind::Custom {
            title: Some(format!("{agent} continues the conversation.")),
            // A task without an icon marks a broken answer.
            icon: Some("agent".to_owned()),
            content: None,
        };
        let task = ChatTask { status_indicator: StatusIndicator::Complete, kind };
        let item = self.new_item(IdPrefix::Task, ItemContent::Task { task });
        self.leave_calls();
        self.outputs.push(TurnOutput::Item(item));
        self.has_answer = true;
        match next {
            Some(NextModel { model, offers_tools, client_tools }) => {
                self.model = model;
                self.offers_tools = offers_tools;
                self.client_tools = client_tools;
            }
            None => {
                self.finish(TurnEnd::HandedOver);
                self.send(ThreadStreamEvent::Notice {
                    level: NoticeLevel::Info,
                    message: format!("{agent} continues the conversation."),
                    title: None,
                });
            }
        }
        std::mem::take(&mut self.outputs)
    }
}
