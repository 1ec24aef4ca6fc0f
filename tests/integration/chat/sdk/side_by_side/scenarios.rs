//! The requests that both servers answer.

use local_stack::model::{Citation, Delta, End, ErrorShape, Fault, Part, Quirk, Script, Step as ModelStep};
use serde_json::{Value, json};

use super::difference::{Difference as D, QUESTION};
use super::{Model, Scenario, Step};

impl Step {
    fn new(kind: &'static str, params: Value) -> Self {
        Self { kind, params, model: Model::Unused }
    }

    fn answered(self, script: Script) -> Self {
        Self { model: Model::Answers(script), ..self }
    }

    fn rejected(self, fault: Fault) -> Self {
        Self { model: Model::Rejects(fault), ..self }
    }
}

fn input(text: &str) -> Value {
    json!({ "content": [{ "type": "input_text", "text": text }], "attachments": [], "inference_options": {} })
}

fn create() -> Step {
    Step::new("threads.create", json!({ "input": input(QUESTION) }))
}

fn add(text: &str) -> Step {
    Step::new("threads.add_user_message", json!({ "thread_id": "@thread", "input": input(text) }))
}

fn retry(item: &str) -> Step {
    Step::new("threads.retry_after_item", json!({ "thread_id": "@thread", "item_id": item }))
}

fn list() -> Step {
    Step::new("items.list", json!({ "thread_id": "@thread", "order": "asc" }))
}

fn paid() -> Script {
    Script::new().text("Invoice 42 is paid.")
}

fn cited() -> Script {
    paid().citation(Citation::Url {
        url: "https://ledger.example.com/42".to_owned(),
        title: "Ledger".to_owned(),
        start: 0,
        end: 10,
    })
}

pub fn scenarios() -> Vec<Scenario> {
    let scenario = |name, steps: Vec<Step>, differences: &[D]| Scenario {
        name,
        quirks: Vec::new(),
        steps,
        // Every scenario begins with a new thread.
        differences: [&[D::Dates, D::Ids, D::Title], differences].concat(),
    };
    let with = |quirk, scenario| Scenario { quirks: vec![quirk], ..scenario };
    let tagged = json!({
        "content": [
            { "type": "input_text", "text": "And " },
            {
                "type": "input_tag", "id": "nordwind", "text": "Nordwind", "data": { "href": "/suppliers/7" },
                "group": "Suppliers", "interactive": true,
            },
        ],
        "attachments": [],
        "quoted_text": "EUR 980",
        "inference_options": { "model": "large", "tool_choice": { "id": "search" } },
    });
    let parts = Script::new().step(ModelStep::Message(vec![
        Part::Text(vec![Delta::from("First "), Delta::from("part.")], Vec::new()),
        Part::Text(vec![Delta::from("Second part.")], Vec::new()),
    ]));
    vec![
        scenario(
            "text",
            vec![
                create().answered(paid()),
                Step::new("threads.add_user_message", json!({ "thread_id": "@thread", "input": tagged }))
                    .answered(Script::new().text("Nordwind is paid too.")),
                list(),
            ],
            &[],
        ),
        scenario("two parts", vec![create().answered(parts), list()], &[]),
        scenario(
            "two messages",
            vec![create().answered(Script::new().text("I look at it.").text("Invoice 42 is paid.")), list()],
            &[],
        ),
        scenario(
            "reasoning",
            vec![
                create()
                    .answered(Script::new().reasoning(["Look at invoice 42.", "It is paid."]).text("Yes.")),
                list(),
            ],
            &[D::TaskUpdates],
        ),
        scenario(
            "refusal",
            vec![create().answered(Script::new().refusal("I cannot do that.")), list()],
            &[D::Refusal],
        ),
        scenario("citation", vec![create().answered(cited()), list()], &[D::CitationEvent]),
        with(
            Quirk::NoAnnotationEvents,
            scenario(
                "citation without an event",
                vec![create().answered(cited()), list()],
                &[D::AnnotationEvents],
            ),
        ),
        scenario(
            "retry",
            vec![
                create().answered(paid()),
                add("And 43?").answered(Script::new().text("No.")),
                retry("@user:0").answered(Script::new().text("Yes, it is paid.")),
                list(),
            ],
            &[D::RemovedItems],
        ),
        scenario(
            "retry after an unknown item",
            vec![create().answered(paid()), retry("msg_none")],
            &[D::UnknownItemOfRetry],
        ),
        scenario(
            "unknown thread",
            vec![
                create().answered(paid()),
                Step::new(
                    "threads.add_user_message",
                    json!({ "thread_id": "thr_none", "input": input("Hello") }),
                ),
                Step::new("threads.get_by_id", json!({ "thread_id": "thr_none" })),
                Step::new("items.list", json!({ "thread_id": "thr_none" })),
                Step::new("threads.update", json!({ "thread_id": "thr_none", "title": "Invoices" })),
            ],
            &[D::UnknownThread],
        ),
        scenario(
            "error before the stream",
            vec![create().rejected(Fault::status(400, Some("invalid_value"))), list()],
            &[D::Mark, D::ErrorText],
        ),
        scenario(
            "failed response",
            vec![create().answered(paid().failed("server_error", "The server had an error.")), list()],
            &[D::BrokenMessage, D::Mark],
        ),
        scenario(
            "error in mid-stream",
            vec![
                create().answered(paid().error(
                    ErrorShape::Nested,
                    "rate_limit_exceeded",
                    "Too many tokens.",
                )),
                list(),
            ],
            &[D::BrokenMessage, D::Mark, D::ErrorText],
        ),
        scenario(
            "cut stream",
            vec![create().answered(paid().end(End::Disconnect)), list()],
            &[D::BrokenMessage, D::Mark],
        ),
        scenario(
            "incomplete response",
            vec![
                create().answered(
                    paid().end(End::Incomplete(local_stack::model::IncompleteReason::MaxOutputTokens)),
                ),
                list(),
            ],
            &[D::Mark, D::IncompleteResponse],
        ),
        scenario(
            "lists, changes and feedback",
            vec![
                create().answered(paid()),
                add("And 43?").answered(Script::new().text("No.")),
                Step::new("items.list", json!({ "thread_id": "@thread", "limit": 3 })),
                Step::new("items.list", json!({ "thread_id": "@thread", "limit": 2, "after": "@answer:1" })),
                Step::new("items.list", json!({ "thread_id": "@thread", "limit": 2, "order": "asc" })),
                Step::new("threads.get_by_id", json!({ "thread_id": "@thread" })),
                Step::new(
                    "items.feedback",
                    json!({ "thread_id": "@thread", "item_ids": ["@answer:0"], "kind": "positive" }),
                ),
                Step::new("threads.list", json!({ "limit": 9999, "order": "desc" })),
                Step::new("threads.update", json!({ "thread_id": "@thread", "title": "Invoices" })),
                Step::new("threads.list", json!({ "limit": 1 })),
                Step::new("threads.delete", json!({ "thread_id": "@thread" })),
                Step::new("threads.list", json!({})),
            ],
            &[],
        ),
        scenario(
            "feedback on an unknown item",
            vec![
                create().answered(paid()),
                Step::new(
                    "items.feedback",
                    json!({ "thread_id": "@thread", "item_ids": ["msg_none"], "kind": "negative" }),
                ),
            ],
            &[D::UnknownItemOfFeedback],
        ),
    ]
}
