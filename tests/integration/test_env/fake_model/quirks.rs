//! The differences of other servers. Each row is a tolerance that a client needs.

use anyhow::{Context, Result};
use local_stack::model::{Citation, Quirk, Script};
use serde_json::{Value, json};

use super::{Api, body, check_rejection, event, types};

/// The text of every answer; a chunk can end inside its last character.
const TEXT: &str = "You owe 4 100 €";

async fn stream_text(api: &Api, quirk: Option<Quirk>) -> Result<String> {
    api.fake.set_quirks(quirk);
    let citation = Citation::File { file_id: "file_1".to_owned(), filename: "a.pdf".to_owned(), index: 7 };
    api.fake.script(Script::new().reasoning(["Looking"]).text(TEXT).citation(citation));
    let mut body = body("a");
    body["reasoning"] = json!({"summary": "auto"});
    body["metadata"] = json!({"id": "1", "usage": "2"});
    api.stream_text(&body).await
}

/// The events of an answer with a quirk.
async fn stream(api: &Api, quirk: Option<Quirk>) -> Result<Vec<Value>> {
    stream_text(api, quirk).await?.split_terminator("\n\n").map(event).collect()
}

/// The values of a field at any depth, outside the parameters of the request.
fn values<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    match value {
        Value::Object(map) => {
            let below = map.iter().filter(|(name, _)| *name != "metadata");
            let below = below.flat_map(|(_, value)| values(value, name));
            map.get(name).into_iter().chain(below).collect()
        }
        Value::Array(all) => all.iter().flat_map(|value| values(value, name)).collect(),
        _ => Vec::new(),
    }
}

fn all_values<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().flat_map(|event| values(event, name)).collect()
}

fn last(events: &[Value]) -> Result<&Value> {
    Ok(&events.last().context("no events")?["response"])
}

#[tokio::test]
async fn quirks_change_the_events() -> Result<()> {
    let api = Api::start().await?;
    let normal = stream(&api, None).await?;
    let count =
        |events: &[Value], part: &str| types(events).iter().filter(|kind| kind.contains(part)).count();
    assert_eq!((count(&normal, "annotation"), count(&normal, "reasoning_summary")), (1, 4));

    let events = stream(&api, Some(Quirk::NoIds)).await?;
    assert_eq!((types(&events), all_values(&events, "item_id").len()), (types(&normal), 0));
    assert!(all_values(&events, "id").iter().all(|id| id.as_str().is_some_and(|id| id.starts_with("resp_"))));

    let events = stream(&api, Some(Quirk::FakeIds)).await?;
    let ids = [all_values(&events, "id"), all_values(&events, "item_id")].concat();
    assert_eq!(ids.len(), all_values(&normal, "id").len() + all_values(&normal, "item_id").len());
    assert!(ids.iter().all(|id| **id == "__fake_id__"), "{ids:?}");
    assert_eq!(last(&events)?["metadata"]["id"], "1");

    let events = stream(&api, Some(Quirk::NoAnnotationEvents)).await?;
    assert_eq!(count(&events, "annotation"), 0);
    assert_eq!(last(&events)?["output"][1]["content"][0]["annotations"][0]["file_id"], "file_1");

    let events = stream(&api, Some(Quirk::NoAnnotations)).await?;
    assert_eq!((count(&events, "annotation"), all_values(&events, "annotations").len()), (0, 0));

    let events = stream(&api, Some(Quirk::NoSequenceNumbers)).await?;
    assert_eq!((types(&events), all_values(&events, "sequence_number").len()), (types(&normal), 0));

    let events = stream(&api, Some(Quirk::NoReasoningEvents)).await?;
    assert_eq!((count(&events, "reasoning"), events.len()), (0, normal.len() - 4));
    assert_eq!(last(&events)?["output"][0]["type"], "reasoning");

    let events = stream(&api, Some(Quirk::NoUsage)).await?;
    assert_eq!((all_values(&events, "usage").len(), &last(&events)?["metadata"]["usage"]), (0, &json!("2")));

    let events = stream(&api, Some(Quirk::UnknownEvents)).await?;
    assert_eq!(
        (count(&events, "future_feature"), types(&events).last()),
        (normal.len() - 1, Some(&"completed"))
    );
    let numbers = all_values(&events, "sequence_number").len();
    assert_eq!(numbers, events.len());

    let events = stream(&api, Some(Quirk::UnknownItems)).await?;
    assert_eq!(
        (events.len(), &last(&events)?["output"][2]["type"]),
        (normal.len() + 2, &json!("future_call"))
    );
    assert_eq!(types(&events)[events.len() - 3..], ["output_item.added", "output_item.done", "completed"]);
    Ok(())
}

#[tokio::test]
async fn quirks_change_the_frames() -> Result<()> {
    let api = Api::start().await?;
    let normal = types(&stream(&api, None).await?).join(" ");
    let kinds = |frames: Vec<&str>| -> Result<String> {
        let data = frames.into_iter().map(|frame| {
            let data = frame.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
            serde_json::from_str(data)
        });
        Ok(types(&data.collect::<Result<Vec<_>, _>>()?).join(" "))
    };

    let text = stream_text(&api, Some(Quirk::NoEventLines)).await?;
    let frames: Vec<&str> = text.split_terminator("\n\n").collect();
    assert!(frames.iter().all(|frame| frame.starts_with("data: ") && frame.lines().count() == 1), "{text}");
    assert_eq!(kinds(frames)?, normal);

    let text = stream_text(&api, Some(Quirk::DoneMarker)).await?;
    let frames = text.strip_suffix("\n\ndata: [DONE]\n\n").context("no marker")?;
    assert_eq!(kinds(frames.split("\n\n").collect())?, normal);

    let text = stream_text(&api, Some(Quirk::KeepAliveComments)).await?;
    let (comments, frames): (Vec<&str>, Vec<&str>) =
        text.split_terminator("\n\n").partition(|frame| *frame == ": PROCESSING");
    assert_eq!((comments.len(), kinds(frames)?), (normal.split(' ').count(), normal.clone()));

    let text = stream_text(&api, Some(Quirk::CarriageReturns)).await?;
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert_eq!(kinds(text.split_terminator("\r\n\r\n").collect())?, normal);
    Ok(())
}

#[tokio::test]
async fn split_chunks_end_inside_frames_and_characters() -> Result<()> {
    let api = Api::start().await?;
    api.fake.set_quirks([Quirk::SplitChunks]);
    api.fake.script(Script::new().text(&"€".repeat(40)));
    let mut body = body("a");
    body["stream"] = json!(true);
    let mut response = api.post(&body).send().await?;
    let (mut bytes, mut broken, mut largest) = (Vec::new(), 0, 0);
    while let Some(chunk) = response.chunk().await? {
        largest = largest.max(chunk.len());
        broken += usize::from(std::str::from_utf8(&chunk).is_err());
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(bytes)?;
    assert!(broken > 0 && largest < 30, "{broken} broken characters, chunks of at most {largest} bytes");
    assert_eq!(text.split_terminator("\n\n").map(event).collect::<Result<Vec<_>>>()?.len(), 9);
    Ok(())
}

#[tokio::test]
async fn quirks_change_responses_that_are_not_streamed() -> Result<()> {
    let api = Api::start().await?;
    api.fake.set_quirks([Quirk::NoIds, Quirk::NoUsage, Quirk::NoAnnotations, Quirk::UnknownItems]);
    let response = api.create(&body("a")).await?;
    let item = &response["output"][0];
    assert_eq!(
        (item.get("id"), response.get("usage"), item["content"][0].get("annotations")),
        (None, None, None)
    );
    assert!(response["id"].is_string() && response["output"][1]["type"] == "future_call", "{response}");
    Ok(())
}

#[tokio::test]
async fn server_without_state_rejects_stored_responses() -> Result<()> {
    let api = Api::start().await?;
    let mut stored = body("a");
    stored["store"] = json!(true);
    let mut next = body("a");
    next["previous_response_id"] = api.create(&stored).await?["id"].take();
    api.create(&next).await?;
    api.fake.set_quirks([Quirk::Stateless]);
    check_rejection("store", api.post(&stored), (400, Some("invalid_value"), Some("store"))).await?;
    let expected = (400, Some("invalid_value"), Some("previous_response_id"));
    check_rejection("previous", api.post(&next), expected).await?;
    stored["store"] = json!(false);
    api.create(&stored).await?;
    api.create(&body("a")).await?;
    Ok(())
}
