//! Deciding an escalation, and what follows from it.

use super::amount::only_lowers;
use super::operations::{Choice, Hash, people};
use super::registry::Approver;
use super::state::{DbSnapshot, Delivery, Kind, Refusal, Release, State, Status, person_name};
use super::verdict::Verdict;

/// "Five in a row at most."
const MOST_EDITS: usize = 5;

impl State {
    /// Decides at the escalation's endpoint. True where the same decision was taken by the same person before.
    pub fn decide(&mut self, person: usize, escalation: usize, choice: &Choice) -> Result<bool, Refusal> {
        if self.check_decision(person, escalation, choice)? {
            return Ok(true);
        }
        let session = self.escalations[escalation].session;
        let payload = self.resolution(escalation, choice, false);
        let event = self.append(session, "hitl_resolved", payload, "user", Some(person_name(person)));
        self.resolve(person, escalation, choice, event)?;
        Ok(false)
    }

    /// Refuses what this person may not decide, or may not decide so.
    pub fn check_decision(&self, person: usize, escalation: usize, choice: &Choice) -> Result<bool, Refusal> {
        let asked = &self.escalations[escalation];
        let own = person == people::REQUESTER;
        // "Role and membership are read from the database in the deciding transaction, not from the token."
        let Some(role) = self.role(person) else { return Err(Refusal(403, "not_a_member")) };
        // "A session is read by its user and by the organisation's owners, admins and approvers; to any other member it does not
        // exist."
        if !own && !role.approves() {
            return Err(Refusal(404, "escalation_not_found"));
        }
        // "Anybody may withdraw their own."
        if choice.decision != "reject" {
            if asked.approver == Approver::Other {
                // "Nobody approves or edits their own request where risk is above low or the policy `ask` demanded the asking."
                if own {
                    return Err(Refusal(403, "own_request"));
                }
                // "Where somebody else has to decide, the written call is a new question that names its author …, and that its
                // author may not decide."
                if self.authors_shown(escalation).contains(&person) {
                    return Err(Refusal(403, "author_may_not_decide"));
                }
            }
            // "`confirm`, for low risk only, asks the requester."
            if asked.kind == Kind::Confirm && !own {
                return Err(Refusal(403, "requester_must_confirm"));
            }
        }
        // "A decision names the hash of what it decides."
        if choice.hash != Hash::Shown {
            return Err(Refusal(409, "subject_changed"));
        }
        // "One winner, the others get 409 with the winner's decision."
        if asked.standing == DbSnapshot::Resolved {
            let same = asked.decided_by == Some(person)
                && asked.decision == Some(choice.decision)
                && asked.answer == choice.answer;
            return if same { Ok(true) } else { Err(Refusal(409, "escalation_resolved")) };
        }
        // "A session that ends withdraws its open escalations …; a decision after that: 409."
        if asked.standing != DbSnapshot::Open || asked.expires_at.is_some_and(|end| end <= self.now) {
            return Err(Refusal(409, "escalation_closed"));
        }
        let withdrawal = own && choice.decision == "reject";
        if !asked.decisions.contains(&choice.decision) && !withdrawal {
            return Err(Refusal(422, "decision_not_offered"));
        }
        match (choice.decision, &choice.answer) {
            ("edit" | "respond", None) => Err(Refusal(422, "answer_required")),
            ("edit", Some(answer)) if !answer.is_object() => Err(Refusal(422, "invalid_answer")),
            _ => Ok(false),
        }
    }

    /// Who wrote the call as it is shown in a question.
    fn authors_shown(&self, escalation: usize) -> Vec<usize> {
        let asked = &self.escalations[escalation];
        let answered = asked.call["decision"]["decidedBy"].as_str();
        let answered = (0..people::COUNT).find(|person| answered == Some(person_name(*person).as_str()));
        asked.author.into_iter().chain(answered).collect()
    }

    /// Closes an escalation, and does what follows.
    pub fn resolve(
        &mut self,
        person: usize,
        escalation: usize,
        choice: &Choice,
        event: usize,
    ) -> Result<(), Refusal> {
        let asked = &mut self.escalations[escalation];
        asked.standing = DbSnapshot::Resolved;
        asked.decision = Some(choice.decision);
        asked.answer = choice.answer.clone();
        asked.decided_by = Some(person);
        asked.decision_event = Some(event);
        let (kind, offered) = (asked.kind, asked.decisions.contains(&"reject"));
        let Some(delivery) = asked.delivery else {
            self.route(event, event, 0);
            return Ok(());
        };
        let words = choice.answer.is_some();
        match (kind, choice.decision) {
            (Kind::Browser, _) => {}
            (Kind::AgentFailed | Kind::OutcomeUnknown, "approve") => {
                self.requeue(delivery, Some(escalation));
            }
            (Kind::AgentFailed | Kind::OutcomeUnknown, _) => {}
            (Kind::Policy | Kind::Confirm, "reject") => {
                self.settle(delivery, Status::Withdrawn, Some("rejected"));
            }
            // A withdrawal that the agent did not offer to hear of.
            (Kind::AgentAsked, "reject") if !offered => {
                self.settle(delivery, Status::Withdrawn, Some("rejected"));
            }
            (Kind::Policy | Kind::Confirm, "edit") => {
                self.resume_with_new_call(delivery, escalation, event)?
            }
            (Kind::AgentAsked, "approve" | "edit" | "respond") if words => {
                self.resume_with_new_call(delivery, escalation, event)?;
            }
            // It was called before, and may have been done: it is called again under its own key, as it was shown.
            (Kind::Policy | Kind::Confirm, _) if self.deliveries[delivery].fence > 0 => {
                self.reach("called again under its own key");
                let call = self.escalations[escalation].call.clone();
                self.deliveries[delivery].escalation = Some(escalation);
                self.deliveries[delivery].release = Some(Release { escalation, call });
                self.requeue(delivery, Some(escalation));
            }
            // "An approval holds for exactly what was seen": what was shown is what is released.
            (Kind::Policy | Kind::Confirm, _) => {
                let call = self.escalations[escalation].call.clone();
                let resumed = self.resume(delivery, escalation, event);
                self.deliveries[resumed].release = Some(Release { escalation, call });
            }
            // "An earlier approval never covers words that came after it": without words it holds.
            (Kind::AgentAsked, _) => {
                self.resume(delivery, escalation, event);
            }
        }
        Ok(())
    }

    /// The same call under the same key, from the end of the queue, by a decision or an operator.
    pub fn requeue(&mut self, delivery: usize, retry: Option<usize>) {
        let place = self.next_place(self.deliveries[delivery].session);
        let state =
            self.deliveries[delivery].resumes.is_some_and(|before| self.deliveries[before].request_state);
        let now = self.now;
        self.settle(delivery, Status::Pending, None);
        let row = &mut self.deliveries[delivery];
        (row.attempts, row.due_at, row.place, row.request_state) = (0, now, place, state);
        row.retry = retry;
    }

    /// Takes a call up again under a decision.
    fn resume(&mut self, delivery: usize, escalation: usize, event: usize) -> usize {
        self.settle(delivery, Status::Done, None);
        let before = self.deliveries[delivery].clone();
        let answer = if self.escalations[escalation].kind == Kind::AgentAsked {
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
            status: Status::Pending,
            error: None,
            attempts: 0,
            due_at: self.now,
            lease_until: None,
            fence: 0,
            finished_fence: None,
            ..before
        });
        self.deliveries.len() - 1
    }

    /// "Whoever edits, or whose answer reaches the tool, has written the call."
    fn resume_with_new_call(
        &mut self,
        delivery: usize,
        escalation: usize,
        event: usize,
    ) -> Result<(), Refusal> {
        let asked = self.escalations[escalation].clone();
        let (Some(author), Some(answer)) = (asked.decided_by, asked.answer.clone()) else { return Ok(()) };
        let edited = asked.decision == Some("edit");
        let shown = self.inputs_shown(&asked.call);
        let written = self.resume(delivery, escalation, event);
        self.deliveries[written].author = Some(author);
        if edited {
            self.deliveries[written].inputs = Some(answer);
        }
        let (verdict, _) = self.verdict(written);
        let verdict = self.strictest(written, verdict);
        if matches!(verdict, Verdict::Never | Verdict::Unreadable) {
            // "Edited arguments pass the policy again."
            return if edited { Err(Refusal(422, "policy_forbids")) } else { Ok(()) };
        }
        // "An edit that only lowers the amount and changes nothing else may be released at once where the tool's registration says
        // so." Whoever released it is the editor, who has to be one who may approve it.
        let call = self.call(written);
        let rest = |call: &serde_json::Value| {
            let mut rest = call.clone();
            rest.as_object_mut().map(|members| (members.remove("inputs"), members.remove("decision")));
            rest
        };
        let approves =
            author != people::REQUESTER && self.role(author).is_some_and(super::registry::Role::approves);
        let lowers = self.tool(written).is_some_and(|tool| {
            tool.release_lowered_amount && only_lowers(tool, &shown, &self.inputs(written))
        });
        if edited && approves && lowers && rest(&call) == rest(&asked.call) {
            self.reach("edit: lowered, released at once");
            self.deliveries[written].release = Some(Release { escalation, call });
            return Ok(());
        }
        // "Where somebody else has to decide, the written call is a new question."
        if verdict != Verdict::Ask {
            self.reach("edit: resumed without a release");
            return Ok(());
        }
        if asked.revision >= MOST_EDITS {
            return Err(Refusal(409, "too_many_edits"));
        }
        // "`no_other_approver` if there is none."
        let authors = self.authors(written);
        let other = (0..people::COUNT).any(|person| {
            person != people::REQUESTER
                && !authors.contains(&person)
                && self.role(person).is_some_and(super::registry::Role::approves)
        });
        if !other {
            return Err(Refusal(409, "no_other_approver"));
        }
        self.reach("edit: a new question");
        self.hold(written, Verdict::Ask, Some(escalation));
        Ok(())
    }

    /// What a policy reads the amount of, in a call that was shown.
    fn inputs_shown(&self, call: &serde_json::Value) -> serde_json::Value {
        call.get("inputs").unwrap_or(&call["event"]["payload"]).clone()
    }
}
