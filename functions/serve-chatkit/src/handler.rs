//! Parses a request of ChatKit, stores what it asks, and streams the model's answer.

use shared::{
    domain::{
        chat::{ChatReply, ChatRequestContext, ChatService, protocol::ChatRequest},
        idempotency,
    },
    error::Error,
    http::{EventStream, Response, Route, StreamingRequest, StreamingResponse},
    runtime::{Dependencies, Reported, StreamingEndpoint},
};

/// Identifies a ChatKit element in a page.
const FRAME_ID: &str = "chatkit-frame-instance-id";

pub struct ServeChatKit(ChatService);

impl StreamingEndpoint for ServeChatKit {
    const ROUTE: Route = Route::post("/chatkit");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let service_client = dependencies.service_client();
        let model = dependencies.model_client();
        let agents = dependencies.agent_client();
        let rules = dependencies.decision_rules();
        Ok(Self(ChatService {
            service_client: service_client?,
            model: model?,
            agents: agents?,
            rules: rules?,
        }))
    }

    async fn handle(&self, request: StreamingRequest) -> Result<StreamingResponse, Error> {
        let body = request.json_value()?;
        let body_hash = idempotency::request_hash(&body)?;
        let chat_request = ChatRequest::parse(body)?;
        let context = ChatRequestContext {
            deadline: request.deadline,
            idempotency_key: request.idempotency_key()?,
            frame_id: request.header(FRAME_ID).map(str::to_owned),
            body_hash,
            client_secret: request.bearer,
        };
        Ok(match self.0.reply(context, chat_request).await? {
            ChatReply::Json(json) => StreamingResponse::Buffered(Response::ok(&json)?),
            ChatReply::Events(events) => {
                StreamingResponse::Events(EventStream::new(move |sender| async move {
                    events.iter().try_for_each(|event| sender.send(event))
                }))
            }
            ChatReply::Stream(answer) => {
                StreamingResponse::Events(EventStream::new(move |sender| answer.stream(sender)))
            }
        })
    }
}
