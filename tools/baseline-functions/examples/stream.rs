//! Streams what the body of a request lists in `steps`. The tests of the edge for streams use it.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use shared::error::{Error, ErrorCode};
use shared::http::{EventStream, Response, Route, StreamingRequest, StreamingResponse};
use shared::platform::event_stream::EventSender;
use shared::platform::telemetry;
use shared::runtime::{Dependencies, Reported, StreamingEndpoint, serve_streaming};

struct Stream;

fn main() -> ExitCode {
    serve_streaming::<Stream>()
}

impl StreamingEndpoint for Stream {
    const ROUTE: Route = Route::post("/chatkit");

    fn new(_: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self)
    }

    async fn handle(&self, request: StreamingRequest) -> Result<StreamingResponse, Error> {
        let body = request.json_value()?;
        let Some(steps) = body["steps"].as_array().cloned() else {
            let answer = json!({
                "bearer": request.bearer.expose(), "body": body,
                "frame": request.header("chatkit-frame-instance-id"),
            });
            return Ok(StreamingResponse::Buffered(Response::ok(&answer)?));
        };
        if steps.first().is_some_and(|step| step["do"] == "refuse") {
            return Err(Error::new(ErrorCode::SessionNotFound));
        }
        Ok(StreamingResponse::Events(EventStream::new(async move |sender| {
            for step in steps {
                run(&step, &sender).await?;
            }
            Ok(())
        })))
    }
}

async fn run(step: &Value, sender: &EventSender) -> Result<(), Error> {
    match step["do"].as_str() {
        Some("send") => sender.send(&step["event"])?,
        Some("send last") => sender.send_last(&step["event"])?,
        Some("wait") => {
            tokio::time::sleep(Duration::from_millis(step["ms"].as_u64().unwrap_or_default())).await;
        }
        Some("wait until closed") => {
            while !sender.is_closed() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Some("fill") => {
            let text = "x".repeat(1024);
            for _ in 0..step["kilobytes"].as_u64().unwrap_or_default() {
                sender.send(&text)?;
                tokio::task::yield_now().await;
            }
        }
        Some("measure") => {
            telemetry::record_first_token();
            telemetry::record_tokens(12, 0);
            telemetry::record_tokens(0, 34);
            telemetry::record_stopped_response();
        }
        Some("print") => println!("printed, closed: {}", sender.is_closed()),
        Some("fail") => return Err(Error::new(ErrorCode::SupabaseUnavailable)),
        Some("exit") => std::process::exit(7),
        _ => {
            let nothing: Option<()> = None;
            // A panic on request.
            #[allow(clippy::unwrap_used)]
            nothing.unwrap();
        }
    }
    Ok(())
}
