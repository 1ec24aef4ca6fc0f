//! Deciding an escalation, and the consequences.

use super::amount::only_lowers;
use super::chat_calls::ChatCall;
use super::operations::{Choice, QuotedHash, people};
use super::policy::PolicyDecision;
use super::registry::Approver;
use super::state::{
    Delivery, DeliveryStatus, EscalationKind, EscalationStatus, Rejection, Release, State, person_name,
};

/// The maximum number of consecutive edits.
const MAX_EDITS: usize = 5;

impl State {
    /// Decides an escalation. Returns true if the same user has taken the same decision before.
    pub fn decide(&mut self, person: usize, escalation: usize, choice: &Choice) -> Result<bool, Rejection> {
        if self.check_decision(person, escalation, choice)? {
            return Ok(true);
        }
        let session = self.escalations[escalation].session;
        let payload = self.resolution(escalation, choice, false);
        let event = self.append(session, "hitl_resolved", payload, "user", Some(person_name(person)));
        self.resolve(person, escalation, choice, event)?;
        Ok(false)
    }

    /// Rejects a decision that the user may not take.
    pub fn check_decision(
        &self,
        person: usize,
        escalation: usize,
        choice: &Choice,
    ) -> Result<bool, Rejection> {
        let escalation_row = &self.escalations[escalation];
        let own = person == people::REQUESTER;
        // Role and membership come from the database, not from the token.
        let Some(role) = self.role(person) else { return Err(Rejection(403, "not_a_member")) };
        // Only its user and the approvers can read a session. For other members it does not exist.
        if !own && !role.approves() {
            return Err(Rejection(404, "escalation_not_found"));
        }
        // A decision quotes the subject hash.
        if choice.hash != QuotedHash::Shown {
            return Err(Rejection(409, "subject_changed"));
        }
        // One decision wins; later ones get 409 with the recorded decision.
        if escalation_row.status == EscalationStatus::Resolved {
            let same = escalation_row.decided_by == Some(person)
                && escalation_row.decision == Some(choice.decision)
                && escalation_row.answer == choice.answer;
            return if same { Ok(true) } else { Err(Rejection(409, "escalation_resolved")) };
        }
        // A closed escalation returns 409.
        if escalation_row.status != EscalationStatus::Open
            || escalation_row.expires_at.is_some_and(|end| end <= self.now)
        {
            return Err(Rejection(409, "escalation_closed"));
        }
        // Requesters can withdraw their own requests.
        if choice.decision != "reject" {
            if escalation_row.approver == Approver::Other {
                // Requesters cannot approve or edit if the risk is above low or the policy is
                // `ask`.
                if own {
                    return Err(Rejection(403, "own_request"));
                }
                // An edited call is a new escalation that its author cannot decide.
                if self.shown_authors(escalation).contains(&person) {
                    return Err(Rejection(403, "author_may_not_decide"));
                }
            }
            // Only the requester decides under `confirm`.
            if escalation_row.kind == EscalationKind::Confirm && !own {
                return Err(Rejection(403, "requester_must_confirm"));
            }
        }
        let withdrawal = own && choice.decision == "reject";
        if !escalation_row.decisions.contains(&choice.decision) && !withdrawal {
            return Err(Rejection(422, "decision_not_offered"));
        }
        match (choice.decision, &choice.answer) {
            ("edit" | "respond", None) => Err(Rejection(422, "answer_required")),
            ("edit", Some(answer)) if !answer.is_object() => Err(Rejection(422, "invalid_answer")),
            _ => Ok(false),
        }
    }

    /// Returns the authors of the call as displayed in an escalation.
    fn shown_authors(&self, escalation: usize) -> Vec<usize> {
        let escalation_row = &self.escalations[escalation];
        let answered = escalation_row.call["decision"]["decidedBy"].as_str();
        let answered = (0..people::COUNT).find(|person| answered == Some(person_name(*person).as_str()));
        escalation_row.author.into_iter().chain(answered).collect()
    }

    /// Closes an escalation and applies the consequences.
    pub fn resolve(
        &mut self,
        person: usize,
        escalation: usize,
        choice: &Choice,
        event: usize,
    ) -> Result<(), Rejection> {
        let escalation_row = &mut self.escalations[escalation];
        escalation_row.status = EscalationStatus::Resolved;
        escalation_row.decision = Some(choice.decision);
        escalation_row.answer = choice.answer.clone();
        escalation_row.decided_by = Some(person);
        escalation_row.decision_event = Some(event);
        let (kind, offered) = (escalation_row.kind, escalation_row.decisions.contains(&"reject"));
        let Some(delivery) = escalation_row.delivery else {
            self.route(event, event, 0);
            return Ok(());
        };
        let has_answer = choice.answer.is_some();
        match (kind, choice.decision) {
            (EscalationKind::Browser, _) => {}
            (EscalationKind::AgentFailed | EscalationKind::OutcomeUnknown, "approve") => {
                self.requeue(delivery, Some(escalation));
            }
            (EscalationKind::AgentFailed | EscalationKind::OutcomeUnknown, _) => {}
            (EscalationKind::Policy | EscalationKind::Confirm, "reject") => {
                self.settle(delivery, DeliveryStatus::Withdrawn, Some("rejected"));
            }
            // A withdrawal that the agent did not offer as a decision.
            (EscalationKind::AgentAsked, "reject") if !offered => {
                self.settle(delivery, DeliveryStatus::Withdrawn, Some("rejected"));
            }
            (EscalationKind::Policy | EscalationKind::Confirm, "edit") => {
                self.resume_with_new_call(delivery, escalation, event)?
            }
            (EscalationKind::AgentAsked, "approve" | "edit" | "respond") if has_answer => {
                self.resume_with_new_call(delivery, escalation, event)?;
            }
            // It was called before and may have been executed: the same call is repeated with its
            // key.
            (EscalationKind::Policy | EscalationKind::Confirm, _) if self.deliveries[delivery].fence > 0 => {
                self.cover("called again under its own key");
                let call = self.escalations[escalation].call.clone();
                self.deliveries[delivery].escalation = Some(escalation);
                self.deliveries[delivery].release = Some(Release { escalation, call });
                self.requeue(delivery, Some(escalation));
            }
            // An approval releases exactly the displayed call.
            (EscalationKind::Policy | EscalationKind::Confirm, _) => {
                let call = self.escalations[escalation].call.clone();
                let resumed = self.resume(delivery, escalation, event);
                self.deliveries[resumed].release = Some(Release { escalation, call });
            }
            // An earlier approval does not cover a later answer; without an answer it stays valid.
            (EscalationKind::AgentAsked, _) => {
                self.resume(delivery, escalation, event);
            }
        }
        Ok(())
    }

    /// Queues the same call again with the same key, by a decision or an operator.
    pub fn requeue(&mut self, delivery: usize, retry: Option<usize>) {
        let place = self.next_place(self.deliveries[delivery].session);
        let state =
            self.deliveries[delivery].resumes.is_some_and(|before| self.deliveries[before].request_state);
        let now = self.now;
        self.settle(delivery, DeliveryStatus::Pending, None);
        let row = &mut self.deliveries[delivery];
        (row.attempts, row.due_at, row.place, row.request_state) = (0, now, place, state);
        row.retry = retry;
    }

    /// Resumes a call under a decision.
    fn resume(&mut self, delivery: usize, escalation: usize, event: usize) -> usize {
        self.settle(delivery, DeliveryStatus::Done, None);
        let before = self.deliveries[delivery].clone();
        let answer = if self.escalations[escalation].kind == EscalationKind::AgentAsked {
            Some(escalation)
        } else {
            before.answer
        };
        self.deliveries.push(Delivery {
            event,
            resumes: Some(delivery),
            escalation: Some(escalation),
            answer,
            retry: None,
            place: self.next_place(before.session),
            status: DeliveryStatus::Pending,
            error: None,
            attempts: 0,
            due_at: self.now,
            lease_until: None,
            fence: 0,
            finished_fence: None,
            chat: before.chat.clone().map(|chat| ChatCall { call: None, ..chat }),
            is_claimed: false,
            ..before
        });
        self.deliveries.len() - 1
    }

    /// Resumes a call with an edit or an answer, whose author is the deciding user.
    fn resume_with_new_call(
        &mut self,
        delivery: usize,
        escalation: usize,
        event: usize,
    ) -> Result<(), Rejection> {
        let escalation_row = self.escalations[escalation].clone();
        let (Some(author), Some(answer)) = (escalation_row.decided_by, escalation_row.answer.clone()) else {
            return Ok(());
        };
        let edited = escalation_row.decision == Some("edit");
        let shown = self.inputs_shown(&escalation_row.call);
        let resumed = self.resume(delivery, escalation, event);
        self.deliveries[resumed].author = Some(author);
        if edited {
            self.deliveries[resumed].inputs = Some(answer);
        }
        let (policy_decision, _) = self.policy_decision(resumed);
        let policy_decision = self.apply_decisions(resumed, policy_decision);
        if matches!(policy_decision, PolicyDecision::Never | PolicyDecision::Unreadable) {
            // The policy evaluates edited arguments again.
            return if edited { Err(Rejection(422, "policy_forbids")) } else { Ok(()) };
        }
        // An edit that only lowers the amount may be released at once, if the registration permits
        // it and the editor may approve.
        let call = self.call(resumed);
        let rest = |call: &serde_json::Value| {
            let mut rest = call.clone();
            rest.as_object_mut().map(|members| (members.remove("inputs"), members.remove("decision")));
            rest
        };
        let approves =
            author != people::REQUESTER && self.role(author).is_some_and(super::registry::Role::approves);
        let lowers = self.tool(resumed).is_some_and(|tool| {
            tool.release_lowered_amount && only_lowers(tool, &shown, &self.inputs(resumed))
        });
        if edited && approves && lowers && rest(&call) == rest(&escalation_row.call) {
            self.cover("edit: lowered, released at once");
            self.deliveries[resumed].release = Some(Release { escalation, call });
            return Ok(());
        }
        // Otherwise the edited call is a new escalation.
        if policy_decision != PolicyDecision::Ask {
            self.cover("edit: resumed without a release");
            return Ok(());
        }
        if escalation_row.revision >= MAX_EDITS {
            return Err(Rejection(409, "too_many_edits"));
        }
        // Without another approver the edit is rejected.
        let authors = self.authors(resumed);
        let has_other_approver = (0..people::COUNT).any(|person| {
            person != people::REQUESTER
                && !authors.contains(&person)
                && self.role(person).is_some_and(super::registry::Role::approves)
        });
        if !has_other_approver {
            return Err(Rejection(409, "no_other_approver"));
        }
        self.cover("edit: new escalation");
        self.hold(resumed, PolicyDecision::Ask, Some(escalation));
        Ok(())
    }

    /// Returns the value in which a policy reads the amount of a displayed call.
    fn inputs_shown(&self, call: &serde_json::Value) -> serde_json::Value {
        call.get("inputs").unwrap_or(&call["event"]["payload"]).clone()
    }
}
