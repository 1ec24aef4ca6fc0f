//! Random streams: whatever a server sends, the client holds what is stored, and no text is lost.

use super::{super::TurnEnd, client::Client, *};
use crate::clients::model::{IncompleteReason, ModelCause};

const STREAMS: u64 = 3_000;

#[test]
fn client_holds_what_is_stored_after_any_events() {
    for seed in 0..STREAMS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut turn = turn().with_tools(random.bool());
        let mut client = Client::default();
        let mut streamed = String::new();
        for _ in 0..random.usize(0..40) {
            let event = any_event(&mut random);
            if let ModelEvent::TextDelta { delta, .. } | ModelEvent::RefusalDelta { delta, .. } = &event
                && turn.ended().is_none()
                && !turn.waits_for_calls()
            {
                streamed.push_str(delta);
            }
            client.apply(turn.on_event(event));
            check_draft(&mut turn, &client, seed);
            if turn.waits_for_calls() && random.u8(0..4) > 0 {
                make_calls(&mut turn, &mut client, &mut random, seed);
            }
        }
        let end = any_end(&mut random);
        client.apply(turn.end(end));
        assert!(client.open.is_empty(), "seed {seed}: every item that began has ended");
        assert_eq!(client.shown, client.stored, "seed {seed}");
        assert_eq!(turn.draft(), [], "seed {seed}");
        // Other events may add text, and parts may alternate, so only the number of each character
        // is compared.
        let stored = texts(&client);
        for c in streamed.chars().filter(|c| !c.is_whitespace()) {
            let count = |text: &str| text.chars().filter(|other| *other == c).count();
            assert!(count(&stored) >= count(&streamed), "seed {seed}: {c:?} is lost from {stored:?}");
        }
    }
}

/// Makes the calls of a response, or the first of them only.
fn make_calls(turn: &mut Turn<Counter>, client: &mut Client, random: &mut fastrand::Rng, seed: u64) {
    use super::super::CallEnd;
    let ends = [CallEnd::Completed, CallEnd::Failed, CallEnd::Held, CallEnd::Refused, CallEnd::Unknown];
    while let Some((_, outputs)) = turn.begin_call() {
        client.apply(outputs);
        check_draft(turn, client, seed);
        if random.u8(0..20) == 0 {
            return;
        }
        client.apply(turn.end_call(*random.choice(&ends).unwrap(), Vec::new()));
    }
    client.apply(turn.begin_response());
}

/// What is saved once a second, with what is stored, is what the client shows.
fn check_draft(turn: &mut Turn<Counter>, client: &Client, seed: u64) {
    let open = client.shown.iter().find(|item| client.open.contains(&item.id));
    match turn.draft().as_slice() {
        [] => {
            let is_empty = open.is_none_or(|item| match &item.content {
                ItemContent::AssistantMessage { content } => {
                    content.iter().all(|part| part.text.trim().is_empty())
                }
                ItemContent::Workflow { workflow } => workflow.tasks.is_empty(),
                _ => false,
            });
            assert!(is_empty, "seed {seed}: {open:?} is not saved");
        }
        [draft] => {
            let open = open.unwrap();
            assert_eq!(draft.id, open.id, "seed {seed}");
            if matches!(draft.content, ItemContent::AssistantMessage { .. }) {
                assert_eq!(draft, open, "seed {seed}");
            }
        }
        more => panic!("seed {seed}: one item is open at a time: {more:?}"),
    }
}

fn texts(client: &Client) -> String {
    let mut all = String::new();
    for item in &client.stored {
        if let ItemContent::AssistantMessage { content } = &item.content {
            content.iter().for_each(|part| all.push_str(&part.text));
        }
    }
    all
}

fn any_text(random: &mut fastrand::Rng) -> String {
    const TEXTS: [&str; 9] = ["", " ", "\n", "a", "bc", "é", "\u{1f600}", "def ", "zero 0"];
    random.choice(TEXTS).unwrap().to_owned()
}

fn any_annotation(random: &mut fastrand::Rng) -> ModelAnnotation {
    match random.u8(0..4) {
        0 => url("https://a.example", random.u64(0..9)),
        1 => url("ftp://a.example", 1),
        2 => ModelAnnotation::FileCitation {
            file_id: "file_1".to_owned(),
            filename: random.bool().then(|| "a.pdf".to_owned()),
            index: random.bool().then_some(3),
        },
        _ => ModelAnnotation::Other,
    }
}

fn any_part(random: &mut fastrand::Rng) -> ContentPart {
    match random.u8(0..8) {
        0 => ContentPart::Other,
        1 => ContentPart::Refusal { refusal: any_text(random) },
        _ => {
            let annotations = (0..random.usize(0..3)).map(|_| any_annotation(random)).collect();
            text_part(&any_text(random), annotations)
        }
    }
}

fn any_item(random: &mut fastrand::Rng) -> OutputItem {
    match random.u8(0..8) {
        0 => OutputItem::Other { kind: "web_search_call".to_owned() },
        1 => call("pay"),
        2 => reasoning(&[&any_text(random), &any_text(random)], random.bool().then_some("gAAA")),
        _ => OutputItem::Message { content: (0..random.usize(0..3)).map(|_| any_part(random)).collect() },
    }
}

fn any_event(random: &mut fastrand::Rng) -> ModelEvent {
    use ModelEvent as E;
    let index = random.u64(0..3);
    let part = random.u64(0..2);
    let text = any_text(random);
    match random.u8(0..40) {
        0 => E::ResponseCreated,
        1..=4 => E::OutputItemAdded { index, item: any_item(random) },
        5..=8 => E::OutputItemDone { index, item: any_item(random) },
        9..=10 => E::ContentPartAdded { index, part, content: any_part(random) },
        11..=12 => E::ContentPartDone { index, part, content: any_part(random) },
        13 => E::RefusalDelta { index, part, delta: text },
        14 => E::RefusalDone { index, part, refusal: text },
        15 => E::TextDone { index, part, text },
        16..=17 => E::AnnotationAdded { index, part, annotation: any_annotation(random) },
        18 => E::ReasoningSummaryPartAdded { index, part },
        19 => E::ReasoningSummaryPartDone { index, part, text },
        20..=22 => E::ReasoningSummaryTextDelta { index, part, delta: text },
        23 => E::ReasoningSummaryTextDone { index, part, text },
        24 => E::ReasoningTextDelta { index, part, delta: text },
        25 => E::ReasoningTextDone { index, part, text },
        26 => E::FunctionCallArgumentsDelta { index, delta: text },
        27 => E::FunctionCallArgumentsDone { index, arguments: text },
        28 => E::Ignored,
        29 if random.u8(0..8) == 0 => {
            E::Completed { usage: None, output: (0..2).map(|_| any_item(random)).collect() }
        }
        30 if random.u8(0..8) == 0 => {
            E::Incomplete { reason: IncompleteReason::MaxOutputTokens, usage: None, output: Vec::new() }
        }
        31 if random.u8(0..8) == 0 => E::Failed { code: None, message: None, usage: None },
        _ => E::TextDelta { index, part, delta: text },
    }
}

fn any_end(random: &mut fastrand::Rng) -> TurnEnd {
    let ends = [
        TurnEnd::Completed,
        TurnEnd::Incomplete(IncompleteReason::Other),
        TurnEnd::Failed(ModelCause::RateLimited),
        TurnEnd::Cut,
        TurnEnd::Stopped,
        TurnEnd::DeadlineReached,
        TurnEnd::TokensUsedUp,
    ];
    *random.choice(&ends).unwrap()
}

/// A server that follows the protocol: the stored text is exactly the concatenation of the deltas.
#[test]
fn text_of_a_regular_stream_is_the_concatenation_of_its_deltas() {
    for seed in 0..STREAMS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut turn = turn();
        let mut client = Client::default();
        let mut expected = Vec::new();
        for index in 0..random.u64(1..4) {
            client.apply(turn.on_event(ModelEvent::OutputItemAdded { index, item: message(&[]) }));
            let mut whole = String::new();
            for _ in 0..random.usize(0..12) {
                let text = any_text(&mut random);
                whole.push_str(&text);
                client.apply(turn.on_event(delta(index, &text)));
            }
            client.apply(turn.on_event(ModelEvent::OutputItemDone { index, item: message(&[&whole]) }));
            expected.push(whole);
        }
        client.apply(turn.on_event(completed()));
        expected.retain(|text| !text.trim().is_empty());
        let stored: Vec<_> = client
            .stored
            .iter()
            .filter_map(|item| match &item.content {
                ItemContent::AssistantMessage { content } => Some(content[0].text.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(stored, expected, "seed {seed}");
    }
}
