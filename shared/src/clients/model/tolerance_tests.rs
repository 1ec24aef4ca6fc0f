//! Deviations of servers from the Responses API that the parser accepts, one test a row.

use super::*;
use ModelEvent as E;

fn message(text: &str) -> OutputItem {
    let content = vec![ContentPart::Text { text: text.to_owned(), annotations: Vec::new() }];
    OutputItem::Message { content }
}

fn delta(text: &str) -> ModelEvent {
    E::TextDelta { index: 0, part: 0, delta: text.to_owned() }
}

fn completed() -> ModelEvent {
    E::Completed { usage: None, output: Vec::new() }
}

/// Declares a test for each row: what the server does, what it sends, and what is read.
macro_rules! tolerances {
    ($($name:ident: $sent:expr => $read:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let expected: Result<Vec<ModelEvent>, ModelCause> = $read;
                assert_eq!(read_events($sent), expected);
            }
        )*
    };
}

const END: &str = "data: {\"type\":\"response.completed\",\"response\":{}}\n\n";
const TEXT: &str = "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"a\"}\n\n";

tolerances! {
    stream_without_event_lines: &[TEXT, END].concat() => Ok(vec![delta("a"), completed()]);

    event_line_without_a_type_in_the_data:
        "event: response.output_text.delta\ndata: {\"delta\":\"a\"}\n\n" => Ok(vec![delta("a")]);

    type_in_the_data_that_differs_from_the_event_line:
        "event: message\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n"
        => Ok(vec![delta("a")]);

    carriage_returns: &[TEXT, END].concat().replace('\n', "\r\n") => Ok(vec![delta("a"), completed()]);

    comments_between_events: &[": ping\n\n", TEXT, ":\n\n"].concat() => Ok(vec![delta("a")]);

    done_marker_of_older_apis: &[TEXT, END, "data: [DONE]\n\n"].concat()
        => Ok(vec![delta("a"), completed()]);

    empty_data: &["data:\n\n", TEXT].concat() => Ok(vec![delta("a")]);

    unknown_event_types:
        &["data: {\"type\":\"response.web_search_call.searching\"}\n\n", "data: {\"type\":7}\n\n", TEXT].concat()
        => Ok(vec![delta("a")]);

    data_that_is_not_an_object: &["data: 7\n\ndata: []\n\ndata: null\n\n", TEXT].concat()
        => Ok(vec![delta("a")]);

    data_that_is_not_json: &[TEXT, "data: {\"type\":\n\n"].concat() => Err(ModelCause::BadAnswer);

    missing_ids_indices_and_sequence_numbers:
        "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n" => Ok(vec![delta("a")]);

    ids_that_are_all_the_same:
        "data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"id\":\"__fake_id__\",\
         \"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\"}]}}\n\n"
        => Ok(vec![E::OutputItemDone { index: 0, item: message("a") }]);

    null_in_place_of_a_field:
        "data: {\"type\":\"response.output_item.done\",\"output_index\":null,\"item\":{\"type\":\"message\",\
         \"content\":[{\"type\":\"output_text\",\"text\":\"a\",\"annotations\":null,\"logprobs\":null}]}}\n\n"
        => Ok(vec![E::OutputItemDone { index: 0, item: message("a") }]);

    wrong_types_of_fields:
        "data: {\"type\":\"response.output_item.done\",\"item\":\"x\"}\n\n\
         data: {\"type\":\"response.content_part.done\",\"part\":7}\n\n\
         data: {\"type\":\"response.failed\",\"response\":\"x\"}\n\n"
        => Ok(vec![
            E::OutputItemDone { index: 0, item: OutputItem::Other { kind: String::new() } },
            E::ContentPartDone { index: 0, part: 0, content: ContentPart::Other },
            E::Failed { code: None, message: None, usage: None },
        ]);

    missing_usage: END => Ok(vec![completed()]);

    usage_in_doubles:
        "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3.0,\"output_tokens\":2}}}\n\n"
        => Ok(vec![E::Completed {
            usage: Some(Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() }),
            output: Vec::new(),
        }]);

    output_only_in_the_last_event:
        "data: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"type\":\"message\",\
         \"content\":[{\"type\":\"output_text\",\"text\":\"a\"}]}]}}\n\n"
        => Ok(vec![E::Completed { usage: None, output: vec![message("a")] }]);

    flat_error:
        "data: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\",\"param\":null}\n\n"
        => Ok(vec![E::Error { code: Some("rate_limit_exceeded".to_owned()), message: Some("m".to_owned()) }]);

    nested_error:
        "data: {\"type\":\"error\",\"error\":{\"type\":\"too_many\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\"}}\n\n"
        => Ok(vec![E::Error { code: Some("rate_limit_exceeded".to_owned()), message: Some("m".to_owned()) }]);

    error_without_a_code:
        "data: {\"type\":\"error\",\"error\":{\"type\":\"server_error\",\"code\":null,\"message\":\"m\"}}\n\n"
        => Ok(vec![E::Error { code: Some("server_error".to_owned()), message: Some("m".to_owned()) }]);

    error_as_the_name_of_the_event:
        "event: error\ndata: {\"code\":\"server_error\"}\n\n"
        => Ok(vec![E::Error { code: Some("server_error".to_owned()), message: None }]);

    failed_response_with_a_code:
        "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"m\"}}}\n\n"
        => Ok(vec![E::Failed {
            code: Some("server_error".to_owned()),
            message: Some("m".to_owned()),
            usage: None,
        }]);

    incomplete_response_without_details:
        "data: {\"type\":\"response.incomplete\",\"response\":{}}\n\n"
        => Ok(vec![E::Incomplete { reason: IncompleteReason::Other, usage: None, output: Vec::new() }]);

    annotations_with_missing_fields:
        "data: {\"type\":\"response.output_text.annotation.added\",\"annotation\":{\"type\":\"url_citation\",\"url\":\"https://a.example\"}}\n\n\
         data: {\"type\":\"response.output_text.annotation.added\",\"annotation\":{\"type\":\"url_citation\"}}\n\n\
         data: {\"type\":\"response.output_text.annotation.added\",\"annotation\":{\"type\":\"file_citation\",\"file_id\":\"f\",\"index\":4}}\n\n\
         data: {\"type\":\"response.output_text.annotation.added\",\"annotation\":{\"type\":\"file_path\",\"file_id\":\"f\",\"index\":5}}\n\n\
         data: {\"type\":\"response.output_text.annotation.added\"}\n\n"
        => Ok(vec![
            E::AnnotationAdded { index: 0, part: 0, annotation: ModelAnnotation::UrlCitation {
                url: "https://a.example".to_owned(), title: None, end_index: None,
            } },
            E::AnnotationAdded { index: 0, part: 0, annotation: ModelAnnotation::Other },
            E::AnnotationAdded { index: 0, part: 0, annotation: ModelAnnotation::FileCitation {
                file_id: "f".to_owned(), filename: None, index: Some(4),
            } },
            E::AnnotationAdded { index: 0, part: 0, annotation: ModelAnnotation::FileCitation {
                file_id: "f".to_owned(), filename: None, index: Some(5),
            } },
            E::AnnotationAdded { index: 0, part: 0, annotation: ModelAnnotation::Other },
        ]);

    text_with_a_character_that_the_database_cannot_store:
        "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\\u0000b\"}\n\n" => Ok(vec![delta("ab")]);

    stream_that_is_cut_in_an_event: &[TEXT, "data: {\"type\":\"response.completed\""].concat()
        => Ok(vec![delta("a")]);

    event_that_is_too_large:
        &format!("data: {{\"type\":\"response.output_text.delta\",\"delta\":\"{}\"}}\n\n", "x".repeat(1 << 20))
        => Err(ModelCause::TooLarge);
}

#[test]
fn events_after_the_last_one_are_ignored() {
    let mut reader = stream::EventReader::default();
    reader.push([END, TEXT].concat().as_bytes()).unwrap();
    assert_eq!(reader.next_event(), Ok(Some(completed())));
    assert!(reader.is_ended);
}

#[test]
fn stream_beyond_its_limit_is_rejected() {
    let mut reader = stream::EventReader::default();
    let event = TEXT.replace('a', &"x".repeat(1 << 16));
    let pushed = (0..2_000).map(|_| {
        let pushed = reader.push(event.as_bytes());
        while let Ok(Some(_)) = reader.next_event() {}
        pushed
    });
    assert_eq!(pushed.into_iter().find(Result::is_err), Some(Err(ModelCause::TooLarge)));
}
