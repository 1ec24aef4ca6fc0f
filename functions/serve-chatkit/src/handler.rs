//! Rejects every request: the chat is not implemented yet.

use shared::{
    error::{Error, ErrorCode},
    http::{Route, StreamingRequest, StreamingResponse},
    runtime::{Dependencies, Reported, StreamingEndpoint},
};

pub struct ServeChatkit;

impl StreamingEndpoint for ServeChatkit {
    const ROUTE: Route = Route::post("/chatkit");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        dependencies.service_client()?;
        Ok(Self)
    }

    async fn handle(&self, _request: StreamingRequest) -> Result<StreamingResponse, Error> {
        Err(Error::new(ErrorCode::ChatRequestUnsupported))
    }
}
